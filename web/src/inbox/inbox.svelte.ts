// The inbox as a whole: who is signed in, which view is shown, which message is open, and what happens meanwhile.
import { asCallError, type CallError } from "../lib/http";
import { plural } from "../lib/format";
import { LiveStream, type Connection } from "../lib/stream";
import type { ServerEvent } from "../lib/sse";
import { stateOf, type Marks, type MessageEvent, type Stored } from "../lib/types";
import type { Api } from "./api";
import { fromHash, NO_FILTERS, toHash, type Filters, type View } from "./filters";
import { Marking } from "./marking.svelte";
import { Notices } from "./notices.svelte";
import { rowOf, Rows, type Row } from "./rows.svelte";

type Session = "unknown" | "entering" | "in" | "out";

// A flood of arrivals is shown some ten times a second; the count of unread ones is asked for once a second at most.
const FLUSH_MS = 80;
const COUNT_MS = 1000;
// A page out of sight lets go of its stream, since a browser keeps six connections to a node, and counts now and then.
const HIDDEN_MS = 30_000;
const HIDDEN_COUNT_MS = 20_000;
const READ_AFTER_MS = 500; // passing over a message is not reading it
const SUGGESTIONS_MAX = 100;

export class Inbox {
  session = $state<Session>("unknown");
  signInFailure = $state.raw<CallError | null>(null);
  filters = $state.raw<Filters>(NO_FILTERS);
  unread = $state(0);
  connection = $state.raw<Connection>({ state: "paused" });
  cursor = $state("");
  selected = $state.raw<ReadonlySet<string>>(new Set());
  openId = $state("");
  open = $state.raw<Stored | null>(null);
  openFailure = $state.raw<CallError | null>(null);
  fresh = $state(0); // rows that arrived above what is in sight
  // Agents, roles and kinds seen so far, to be suggested in the filters.
  seen = $state.raw<Record<"agent" | "role" | "kind", readonly string[]>>({ agent: [], role: [], kind: [] });

  readonly notices = new Notices();
  readonly rows: Rows;
  readonly marking: Marking;
  #stream: LiveStream;
  #events: MessageEvent[] = [];
  #flush: ReturnType<typeof setTimeout> | null = null;
  #count: ReturnType<typeof setTimeout> | null = null;
  #hide: ReturnType<typeof setTimeout> | null = null;
  #dwell: ReturnType<typeof setTimeout> | null = null;

  constructor(readonly api: Api) {
    this.rows = new Rows(api);
    this.marking = new Marking(api, this.rows, this.notices, (marks) => this.#remark(marks));
    this.#stream = new LiveStream("/events", {
      events: (events) => this.#heard(events),
      changed: (connection) => (this.connection = connection),
      opened: (resumed) => this.#opened(resumed),
      signedOut: () => this.signedOut(),
    });
  }

  // Begin, or go on after the URL changed. A code in it is used up and removed before anything else.
  async enter(): Promise<void> {
    const code = new URLSearchParams(location.hash.slice(1)).get("code");
    if (code !== null) {
      history.replaceState(null, "", location.pathname);
      await this.signIn(code);
      return;
    }
    this.#adopt(fromHash(location.hash));
    if (this.session === "unknown") await this.#begin();
  }

  async signIn(code: string): Promise<void> {
    this.session = "entering";
    this.signInFailure = null;
    try {
      await this.api.enter(code.trim());
      await this.#begin();
    } catch (error) {
      this.session = "out";
      this.signInFailure = asCallError(error);
    }
  }

  signedOut(): void {
    if (this.session === "out") return;
    this.session = "out";
    this.#stream.stop();
  }

  async #begin(): Promise<void> {
    try {
      this.unread = await this.api.unread();
    } catch (error) {
      if (this.#isSignedOut(error)) return;
    }
    this.session = "in";
    this.#stream.start(); // before the list is asked for, so that nothing falls between the two
    if (this.openId) void this.#fetchOpen();
    await this.#load();
  }

  async #load(): Promise<void> {
    this.selected = new Set();
    this.fresh = 0;
    await this.rows.load(this.filters);
    if (this.rows.failure) this.#isSignedOut(this.rows.failure);
    else this.#settle();
  }

  #settle(): void {
    this.#suggest(this.rows.list);
    if (this.rows.indexOf(this.cursor) < 0) this.cursor = this.rows.list[0]?.id ?? "";
  }

  async more(): Promise<void> {
    await this.rows.more();
    if (this.rows.failure) this.#isSignedOut(this.rows.failure);
    this.#suggest(this.rows.list);
  }

  async reload(): Promise<void> {
    await this.#load();
    this.#stream.retryNow();
  }

  filter(change: Partial<Filters>): void {
    this.filters = { ...this.filters, ...change };
    this.#note("replace");
    void this.#load().then(() => {
      if (!this.rows.failure) this.notices.speak(this.rows.complete ? plural(this.rows.list.length, "message") : "Many messages");
    });
  }

  clearFilters(): void {
    this.filter(NO_FILTERS);
  }

  // Show a message; "" closes the one that is open.
  show(id: string): void {
    if (id === this.openId) return;
    const wasOpen = this.openId !== "";
    this.#openNow(id);
    this.#note(wasOpen ? "replace" : "push");
  }

  #openNow(id: string): void {
    this.openId = id;
    this.open = null;
    this.openFailure = null;
    if (this.#dwell) clearTimeout(this.#dwell);
    if (!id) return;
    if (this.rows.get(id)) this.cursor = id;
    if (this.session === "in") void this.#fetchOpen();
  }

  async #fetchOpen(): Promise<void> {
    const id = this.openId;
    this.openFailure = null;
    try {
      const stored = await this.api.message(id);
      if (id !== this.openId) return;
      this.open = stored;
      this.#dwell = setTimeout(() => void this.marking.read(rowOf(this.open ?? stored)), READ_AFTER_MS);
    } catch (error) {
      if (id === this.openId && !this.#isSignedOut(error)) this.openFailure = asCallError(error);
    }
  }

  retryOpen(): void {
    void this.#fetchOpen();
  }

  // The rows an action is for: those that are selected, else the one that is open or under the cursor.
  targets(): Row[] {
    if (this.selected.size) return this.rows.list.filter((row) => this.selected.has(row.id));
    if (this.openId) return this.open ? [this.rows.get(this.openId) ?? rowOf(this.open)] : [];
    const row = this.rows.get(this.cursor);
    return row ? [row] : [];
  }

  move(by: number): void {
    const at = this.rows.indexOf(this.cursor);
    const row = this.rows.list[Math.max(0, Math.min(this.rows.list.length - 1, at + by))];
    if (!row) return;
    this.cursor = row.id;
    if (this.openId) this.show(row.id);
  }

  select(ids: readonly string[], on: boolean): void {
    const next = new Set(this.selected);
    for (const id of ids) {
      if (on) next.add(id);
      else next.delete(id);
    }
    this.selected = next;
  }

  selectAll(): void {
    this.selected = new Set(this.rows.list.map((row) => row.id));
    this.notices.speak(`${plural(this.selected.size, "message")} selected`);
  }

  clearSelection(): void {
    this.selected = new Set();
  }

  // Archive, and go on with the message below: what one does with a list to be worked through.
  async archive(rows: readonly Row[], on = true): Promise<void> {
    const leaving = new Set(rows.map((row) => row.id));
    const at = this.rows.indexOf(this.cursor);
    const left = (row: Row) => !leaving.has(row.id);
    const next = this.rows.list.slice(at + 1).find(left) ?? this.rows.list.slice(0, Math.max(0, at)).findLast(left);
    const moves = on && this.filters.state !== "all" && this.filters.state !== "archived";
    if (moves && leaving.has(this.cursor)) this.cursor = next?.id ?? "";
    if (moves && leaving.has(this.openId)) this.show(WIDE.matches ? (next?.id ?? "") : "");
    this.clearSelection();
    await this.marking.set(rows, "archived", on);
  }

  seenFresh(): void {
    this.fresh = 0;
  }

  retryNow(): void {
    this.#stream.retryNow();
  }

  // The page went out of sight or came back.
  visible(shown: boolean): void {
    if (this.#hide) clearTimeout(this.#hide);
    this.#hide = null;
    if (this.session !== "in") return;
    if (shown) {
      this.#stream.start();
      this.#recount();
    } else {
      this.#hide = setTimeout(() => this.#whileHidden(), HIDDEN_MS);
    }
  }

  #whileHidden(): void {
    this.#stream.stop();
    this.#recount();
    this.#hide = setTimeout(() => this.#whileHidden(), HIDDEN_COUNT_MS);
  }

  #isSignedOut(error: unknown): boolean {
    const out = asCallError(error).status === 401;
    if (out) this.signedOut();
    return out;
  }

  #opened(resumed: boolean): void {
    this.#recount();
    if (!resumed && (this.rows.failure || this.rows.list.length)) void this.#load();
    else if (this.rows.failure) void this.rows.retry();
  }

  #heard(events: ServerEvent[]): void {
    for (const { data } of events) this.#events.push(JSON.parse(data) as MessageEvent);
    this.#flush ??= setTimeout(() => this.#takeIn(), FLUSH_MS);
  }

  #takeIn(): void {
    this.#flush = null;
    const events = this.#events.splice(0);
    const arrived = events.flatMap((event) => (event.stored ? [event.stored] : []));
    const count = this.rows.arrive(arrived);
    this.#remark(new Map(events.flatMap((event) => (event.marks ? [[event.id, event.marks] as const] : []))));
    this.#settle();
    this.#recount();
    if (!count) return;
    this.fresh += count;
    this.notices.speak(plural(count, "new message"));
  }

  #remark(marks: ReadonlyMap<string, Marks>): void {
    if (!marks.size) return;
    this.rows.remark(marks, (row) => row.state === "read" || row.id === this.openId);
    const mine = this.open && marks.get(this.open.message.id);
    if (this.open && mine) this.open = { ...this.open, marks: mine, state: stateOf(mine) };
    this.#recount();
  }

  #recount(): void {
    this.#count ??= setTimeout(() => void this.#recounted(), COUNT_MS);
  }

  async #recounted(): Promise<void> {
    this.#count = null;
    try {
      this.unread = await this.api.unread();
    } catch (error) {
      this.#isSignedOut(error); // anything else shows in the connection, and comes right with it
    }
  }

  #suggest(rows: readonly Row[]): void {
    const add = (name: "agent" | "role" | "kind") => {
      const found = new Set([...this.seen[name], ...rows.slice(-SUGGESTIONS_MAX).map((row) => row[name])]);
      found.delete("");
      return found.size === this.seen[name].length ? this.seen[name] : [...found].sort().slice(0, SUGGESTIONS_MAX);
    };
    this.seen = { agent: add("agent"), role: add("role"), kind: add("kind") };
  }

  #adopt(view: View): void {
    const changed = toHash({ ...view, open: "" }) !== toHash({ filters: this.filters, open: "" });
    this.filters = view.filters;
    if (view.open !== this.openId) this.#openNow(view.open);
    if (changed && this.session === "in") void this.#load();
  }

  #note(how: "push" | "replace"): void {
    const url = location.pathname + toHash({ filters: this.filters, open: this.openId });
    if (how === "push") history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }
}

// Wide enough for a list and a message side by side; the same in theme.css.
export const WIDE = matchMedia("(min-width: 860px)");
