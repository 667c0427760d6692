// The calls that the inbox makes. The cookie of the session goes along by itself.
import { call } from "../lib/http";
import type { MarkName, Page, Report, Stored } from "../lib/types";

const MARKED_AT_ONCE = 100;

export interface Api {
  page(params: URLSearchParams, signal?: AbortSignal): Promise<Page>;
  message(id: string): Promise<Stored>;
  mark(ids: string[], mark: MarkName, on: boolean): Promise<Stored[]>;
  execute(id: string): Promise<Stored>;
  unread(): Promise<number>;
  report(): Promise<Report>;
  enter(code: string): Promise<void>;
}

export const api: Api = {
  page: (params, signal) => call("GET", `/query/messages?${params}`, undefined, signal),
  message: (id) => call("GET", `/query/messages/${encodeURIComponent(id)}`),
  async mark(ids, mark, on) {
    const marked: Stored[] = [];
    for (let at = 0; at < ids.length; at += MARKED_AT_ONCE) {
      const body = { ids: ids.slice(at, at + MARKED_AT_ONCE), mark, on };
      marked.push(...(await call<{ messages: Stored[] }>("POST", "/v1/messages/marks", body)).messages);
    }
    return marked;
  },
  execute: (id) => call("POST", `/v1/messages/${encodeURIComponent(id)}/execute`, {}),
  unread: async () => (await call<{ unread: number }>("GET", "/v1/messages/unread")).unread,
  report: () => call("GET", "/v1/messages/report"),
  enter: (code) => call("POST", "/messages/session", { code }),
};
