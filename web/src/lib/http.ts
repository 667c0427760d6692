// Calls to the node that served this page. A failure is a CallError with the node's own words, and what to do next.

export class CallError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint = "",
    readonly status = 0,
  ) {
    super(message);
  }
}

export const UNREACHABLE = new CallError("unreachable", "The node does not answer.", "Is it running? Start it with: inos up");

// Long enough for a busy node, short enough that a dead connection is not waited for.
const TIMEOUT_MS = 20_000;

export interface Options {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
}

export async function call<T>(method: string, path: string, body?: unknown, options: Options = {}): Promise<T> {
  const { signal, timeoutMs = TIMEOUT_MS } = options;
  const limit = AbortSignal.timeout(timeoutMs);
  const request: RequestInit = { method, signal: signal ? AbortSignal.any([signal, limit]) : limit };
  if (body !== undefined) {
    request.headers = { "content-type": "application/json" };
    request.body = JSON.stringify(body);
  }
  const response = await reach(path, request);
  if (!response.ok) throw await failure(response);
  return response.status === 204 ? (undefined as T) : await cut(response.json() as Promise<T>);
}

// The response, whatever its status; CallError when there is none.
export function reach(path: string, request: RequestInit): Promise<Response> {
  return cut(fetch(path, { ...request, redirect: "error", cache: "no-store" }));
}

// What comes over the network can end in the middle; only whoever aborts it knows why.
async function cut<T>(coming: Promise<T>): Promise<T> {
  try {
    return await coming;
  } catch (error) {
    throw error instanceof DOMException && error.name === "AbortError" ? error : UNREACHABLE;
  }
}

// What a node says went wrong: {"error": {"code", "message", "hint"}}.
export async function failure(response: Response): Promise<CallError> {
  const said: unknown = await response.json().catch(() => null);
  const error = (said as { error?: { code?: unknown; message?: unknown; hint?: unknown } } | null)?.error;
  const text = (value: unknown, other: string) => (typeof value === "string" && value ? value : other);
  return new CallError(
    text(error?.code, "failed"),
    sentence(text(error?.message, `the node answered ${response.status}`)),
    capital(text(error?.hint, "")),
    response.status,
  );
}

// The node says things as a terminal does, in lower case and without a full stop.
function sentence(text: string): string {
  return /[.!?…]$/.test(text) ? capital(text) : `${capital(text)}.`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function asCallError(error: unknown): CallError {
  return error instanceof CallError ? error : new CallError("failed", error instanceof Error ? error.message : String(error));
}
