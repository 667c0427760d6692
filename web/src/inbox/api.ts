// The calls that the inbox makes. The cookie of the session goes along by itself.
import { asCallError, call as callOnce, type Options } from "../lib/http";
import type { Executed, Marked, MarkName, Page, Report, Stored } from "../lib/types";

const MARKED_AT_ONCE = 100;
// A hook may take ten minutes, and the node answers when it ended.
const EXECUTE_MS = 640_000;

export interface Api {
  page(params: URLSearchParams, signal?: AbortSignal): Promise<Page>;
  message(id: string): Promise<Stored>;
  mark(ids: string[], mark: MarkName, on: boolean): Promise<Marked>;
  execute(id: string): Promise<Executed>;
  unread(): Promise<number>;
  report(): Promise<Report>;
  enter(code: string): Promise<void>;
}

let sessions = 0; // begun on this page

// A call made before somebody signed in, and refused after, says nothing about the session there is now: it is made again.
async function call<T>(method: string, path: string, body?: unknown, options?: Options): Promise<T> {
  const session = sessions;
  try {
    return await callOnce<T>(method, path, body, options);
  } catch (error) {
    if (session === sessions || asCallError(error).status !== 401) throw error;
    return callOnce<T>(method, path, body, options);
  }
}

export const api: Api = {
  page: (params, signal) => call("GET", `/query/messages?${params}`, undefined, { signal }),
  message: (id) => call("GET", `/query/messages/${encodeURIComponent(id)}`),
  async mark(ids, mark, on) {
    const all: Marked = { messages: [], covered: true };
    for (let at = 0; at < ids.length; at += MARKED_AT_ONCE) {
      const body = { ids: ids.slice(at, at + MARKED_AT_ONCE), mark, on };
      const { messages, covered } = await call<Marked>("POST", "/v1/messages/marks", body);
      all.messages.push(...messages);
      all.covered &&= covered;
    }
    return all;
  },
  execute: (id) => call("POST", `/v1/messages/${encodeURIComponent(id)}/execute`, {}, { timeoutMs: EXECUTE_MS }),
  unread: async () => (await call<{ unread: number }>("GET", "/v1/messages/unread")).unread,
  report: () => call("GET", "/v1/messages/report"),
  async enter(code) {
    await callOnce("POST", "/messages/session", { code });
    sessions++;
  },
};
