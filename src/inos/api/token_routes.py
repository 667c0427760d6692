"""The calls under /v1/messages/tokens: tokens of agents, made, listed and revoked by the owner."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from inos.api.service import TokenKeeping
from inos.core.messages.access import AgentToken, check_scopes


class TokenBody(BaseModel):
    """For whom, and what it opens."""

    agent: str = Field(min_length=1, max_length=128)
    scopes: list[str] = Field(min_length=1, max_length=16)


class MadeToken(BaseModel):
    """A new token: the only time that `token` is shown."""

    token_id: str
    agent: str
    scopes: tuple[str, ...]
    created_at_s: int
    token: str


class TokenList(BaseModel):
    """All tokens, without what they are."""

    tokens: tuple[AgentToken, ...]


def token_routes(service: TokenKeeping) -> APIRouter:
    """Every call on tokens."""
    router = APIRouter(prefix="/v1/messages/tokens", tags=["messages"])

    @router.post("", summary="Make a token for an agent; it is shown only now")
    async def make_token(body: TokenBody) -> MadeToken:
        made, text = await service.message_tokens.make(body.agent, check_scopes(body.scopes))
        return MadeToken(
            token_id=made.token_id, agent=made.agent, scopes=made.scopes, created_at_s=made.created_at_s, token=text
        )

    @router.get("", summary="The tokens there are")
    async def list_tokens() -> TokenList:
        return TokenList(tokens=tuple(await service.message_tokens.list()))

    @router.delete("/{token_id}", summary="Make a token worthless")
    async def revoke_token(token_id: str) -> AgentToken:
        return await service.message_tokens.revoke(token_id)

    return router
