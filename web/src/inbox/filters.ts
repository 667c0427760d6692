// Which messages are shown: as fields of the page, as parameters of /query/messages, and as the URL's fragment, so that
// a view can be kept, shared and gone back to.
import type { Message, State, Stored } from "../lib/types";

export const STATES = ["open", "unread", "acknowledged", "executed", "archived", "all"] as const;
export const RANGES = { "": 0, "1h": 1, "24h": 24, "7d": 7 * 24, "30d": 30 * 24 } as const; // hours
export const WORDS = ["agent", "role", "kind", "task", "recipient"] as const;
export type StateFilter = (typeof STATES)[number] | "read";
export type Range = keyof typeof RANGES | "between";
export type Order = "newest" | "best";
export type Word = (typeof WORDS)[number];

export interface Filters {
  readonly state: StateFilter;
  readonly agent: string;
  readonly role: string;
  readonly kind: string;
  readonly task: string;
  readonly recipient: string;
  readonly priority: number; // at least
  readonly range: Range;
  readonly from: string; // local times as <input type="datetime-local"> has them; for the range "between"
  readonly until: string;
  readonly text: string;
  readonly order: Order; // of what a search finds
}

export const NO_FILTERS: Filters = {
  state: "open", agent: "", role: "", kind: "", task: "", recipient: "",
  priority: 0, range: "", from: "", until: "", text: "", order: "newest",
}; // prettier-ignore

const HOUR_MS = 3_600_000;

// The span that is asked for, in milliseconds since 1970: from <= time < until.
export function span(filters: Filters, nowMs: number): { sinceMs: number; untilMs: number } {
  if (filters.range !== "between") {
    const hours = RANGES[filters.range];
    return { sinceMs: hours ? nowMs - hours * HOUR_MS : 0, untilMs: Infinity };
  }
  const [from, until] = [Date.parse(filters.from), Date.parse(filters.until)];
  return { sinceMs: Math.max(0, from || 0), untilMs: Number.isNaN(until) ? Infinity : Math.max(0, until) };
}

export function toParams(filters: Filters, nowMs: number, limit: number, after = ""): URLSearchParams {
  const params = new URLSearchParams({ limit: String(limit) });
  if (filters.state !== "all") params.set("state", filters.state);
  for (const word of WORDS) if (filters[word]) params.set(word, filters[word]);
  if (filters.priority) params.set("priority", String(filters.priority));
  const { sinceMs, untilMs } = span(filters, nowMs);
  if (sinceMs) params.set("since_ms", String(sinceMs));
  if (untilMs !== Infinity) params.set("until_ms", String(untilMs));
  if (filters.text.trim()) params.set("text", filters.text.trim());
  if (filters.order === "best" && /[\p{L}\p{N}]/u.test(filters.text)) params.set("order", "best");
  if (after) params.set("after", after);
  return params;
}

export function stateMatches(wanted: StateFilter, state: State): boolean {
  if (wanted === "all") return true;
  return wanted === "open" ? state !== "archived" : state === wanted;
}

// Whether a message that came in belongs to the view. Words of a search are for the node to find.
export function matches(filters: Filters, stored: Stored, nowMs: number): boolean {
  const message = stored.message;
  const { sinceMs, untilMs } = span(filters, nowMs);
  return (
    stateMatches(filters.state, stored.state) &&
    WORDS.every((word) => !filters[word] || (message[word as keyof Message] ?? "") === filters[word]) &&
    message.priority >= filters.priority &&
    message.time_ms >= sinceMs &&
    message.time_ms < untilMs
  );
}

export interface View {
  filters: Filters;
  open: string; // the id of the message that is read, "" for none
}

// What differs from the start is in the fragment; what is not understood there is passed over.
export function toHash({ filters, open }: View): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) {
    if (value !== NO_FILTERS[name as keyof Filters]) params.set(name, String(value));
  }
  if (open) params.set("open", open);
  const text = params.toString();
  return text ? `#${text}` : "";
}

export function fromHash(hash: string): View {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  const one = <T extends string>(name: string, known: readonly T[], other: T): T =>
    known.find((each) => each === params.get(name)) ?? other;
  const text = (name: string) => (params.get(name) ?? "").slice(0, 200);
  const priority = Number(params.get("priority") ?? 0);
  const words = Object.fromEntries(WORDS.map((word) => [word, text(word)])) as Record<Word, string>;
  return {
    filters: {
      ...words,
      state: one<StateFilter>("state", [...STATES, "read"], NO_FILTERS.state),
      priority: Number.isInteger(priority) && priority >= 0 && priority <= 9 ? priority : 0,
      range: one<Range>("range", [...(Object.keys(RANGES) as Range[]), "between"], ""),
      from: text("from"),
      until: text("until"),
      text: (params.get("text") ?? "").slice(0, 500),
      order: one<Order>("order", ["newest", "best"], "newest"),
    },
    open: text("open"),
  };
}

export function isFiltered(filters: Filters): boolean {
  return toHash({ filters, open: "" }) !== "";
}
