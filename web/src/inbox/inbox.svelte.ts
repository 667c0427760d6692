// The inbox as a whole: who is signed in, which view is shown, where the cursor is, and what is done with messages.
import { plural } from "../lib/format";
import { asCallError, type CallError } from "../lib/http";
import { MARKS, stateOf, type Marks, type MessageEvent } from "../lib/types";
import type { Api } from "./api";
import { fromHash, NO_FILTERS, stateMatches, toHash, type Filters, type View } from "./filters";
import { Live } from "./live.svelte";
import { Marking } from "./marking.svelte";
import { Notices } from "./notices.svelte";
import { Reading } from "./reading.svelte";
import { rowOf, Rows, type Row } from "./rows.svelte";

type Session = "unknown" | "entering" | "in" | "out";
export type Seen = "agent" | "role" | "kind";

const SUGGESTIONS_MAX = 100;
// Wide enough for a list and a message side by side; the same in the pages' styles.
const WIDE = matchMedia("(min-width: 860px)");

export class Inbox {
  session = $state<Session>("unknown");
  signInFailure = $state.raw<CallError | null>(null);
  filters = $state.raw<Filters>(NO_FILTERS);
  cursor = $state("");
  selected = $state.raw<ReadonlySet<string>>(new Set());
  fresh = $state(0); // rows that arrived since the top of the list was in sight
  // What was seen so far, to be suggested in the filters.
  seen = $state.raw<Record<Seen, readonly string[]>>({ agent: [], role: [], kind: [] });

  readonly notices = new Notices();
  readonly rows: Rows;
  readonly marking: Marking;
  readonly live: Live;
  readonly reading: Reading;

  constructor(readonly api: Api) {
    const signedOut = () => this.#signedOut();
    this.rows = new Rows(api);
    this.marking = new Marking(api, this.rows, this.notices, (marks) => this.#remark(marks));
    this.reading = new Reading(api, (stored) => void this.marking.read(rowOf(stored)), signedOut);
    this.live = new Live(api, {
      happened: (events) => this.#happened(events),
      there: (same) => void this.#there(same),
      signedOut,
    });
  }

  // Begin, or go on after the URL changed. A code in it is removed before anything else, and used up.
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

  async #begin(): Promise<void> {
    try {
      this.live.unread = await this.api.unread();
    } catch (error) {
      if (this.#isSignedOut(error)) return;
    }
    this.session = "in";
    this.live.start(); // before the list is asked for, so that nothing falls between the two
    if (this.reading.id) void this.reading.fetch();
    await this.#load();
  }

  #signedOut(): void {
    this.session = "out";
    this.live.stop();
  }

  #isSignedOut(error: unknown): boolean {
    const out = asCallError(error).status === 401;
    if (out) this.#signedOut();
    return out;
  }

  async #load(): Promise<void> {
    this.clearSelection();
    this.fresh = 0;
    await this.rows.load(this.filters);
    this.#loaded();
  }

  async more(): Promise<void> {
    await this.rows.more();
    this.#loaded();
  }

  async reload(): Promise<void> {
    await this.#load();
    this.live.retryNow();
  }

  #loaded(): void {
    if (this.rows.failure) this.#isSignedOut(this.rows.failure);
    else this.#settle();
  }

  // After the list changed: the cursor is on one of its rows, and what it holds is suggested.
  #settle(): void {
    this.#suggest(this.rows.list);
    if (this.rows.indexOf(this.cursor) < 0) this.cursor = this.rows.list[0]?.id ?? "";
  }

  async filter(change: Partial<Filters>): Promise<void> {
    this.filters = { ...this.filters, ...change };
    this.#note("replace");
    await this.#load();
    const { failure, complete, list } = this.rows;
    if (!failure) this.notices.speak(complete ? plural(list.length, "message") : `More than ${plural(list.length, "message")}`);
  }

  // Show a message; "" closes the one that is open. Going back in the browser's history closes it too.
  show(id: string): void {
    if (id === this.reading.id) return;
    const replaces = this.reading.id !== "";
    this.#open(id);
    this.#note(replaces ? "replace" : "push");
  }

  #open(id: string): void {
    this.reading.open(id);
    if (this.rows.get(id)) this.cursor = id;
  }

  // The rows an action is for: those that are selected, else the one that is open, else the one under the cursor.
  targets(): Row[] {
    if (this.selected.size) return this.rows.list.filter((row) => this.selected.has(row.id));
    const { id, stored } = this.reading;
    if (id) return stored ? [rowOf(stored)] : [];
    const row = this.rows.get(this.cursor);
    return row ? [row] : [];
  }

  move(by: number): void {
    const at = this.rows.indexOf(this.cursor);
    const row = this.rows.list[Math.max(0, Math.min(this.rows.list.length - 1, at + by))];
    if (!row) return;
    this.cursor = row.id;
    if (this.reading.id) this.show(row.id);
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
    this.select(this.rows.list.map((row) => row.id), true);
    this.notices.speak(`${plural(this.selected.size, "message")} selected`);
  }

  clearSelection(): void {
    if (this.selected.size) this.selected = new Set();
  }

  // Archive, and go on with the message below: what one does with a list to be worked through.
  async archive(rows: readonly Row[], on = true): Promise<void> {
    const leaving = new Set(rows.map((row) => row.id));
    const at = this.rows.indexOf(this.cursor);
    const stays = (row: Row) => !leaving.has(row.id);
    const next = this.rows.list.slice(at + 1).find(stays) ?? this.rows.list.slice(0, Math.max(0, at)).findLast(stays);
    const fits = (row: Row) => stateMatches(this.filters.state, on ? "archived" : stateOf({ ...row.marks, archived: undefined }));
    if (!rows.some(fits)) {
      if (leaving.has(this.cursor)) this.cursor = next?.id ?? "";
      if (leaving.has(this.reading.id)) this.show(WIDE.matches ? (next?.id ?? "") : "");
    }
    this.clearSelection();
    await this.marking.set(rows, "archived", on);
  }

  async #there(same: boolean): Promise<void> {
    if (this.reading.failure) void this.reading.fetch();
    if (same && !this.rows.failure) await this.rows.refresh();
    else await this.rows.load(this.filters);
    this.#loaded();
  }

  #happened(events: readonly MessageEvent[]): void {
    const count = this.rows.arrive(events.flatMap((event) => event.stored ?? []));
    const told = events.filter(({ id }) => !this.marking.isChanging(id));
    this.#remark(new Map(told.flatMap(({ id, marks }) => (marks ? [[id, this.#newer(id, marks)] as const] : []))));
    this.#settle();
    this.live.recount();
    if (!count) return;
    this.fresh += count;
    this.notices.speak(plural(count, "new message"));
  }

  // Marks as they are known and as the stream tells, which may be late: of each, the later one.
  #newer(id: string, told: Marks): Marks {
    const open = this.reading.stored;
    const known = this.rows.get(id)?.marks ?? (open?.message.id === id ? open.marks : {});
    const newer = MARKS.filter((name) => (known[name]?.time_ms ?? 0) > (told[name]?.time_ms ?? 0));
    return { ...told, ...Object.fromEntries(newer.map((name) => [name, known[name]])) };
  }

  #remark(marks: ReadonlyMap<string, Marks>): void {
    if (!marks.size) return;
    // What is open does not vanish under the reader, nor what just became read by being opened.
    const unread = this.filters.state === "unread";
    this.rows.remark(marks, (row) => row.id === this.reading.id || (unread && row.state === "read"));
    this.reading.remark(marks);
    this.live.recount();
  }

  #suggest(rows: readonly Row[]): void {
    const add = (name: Seen) => {
      const found = new Set([...this.seen[name], ...rows.map((row) => row[name])]);
      found.delete("");
      return found.size === this.seen[name].length ? this.seen[name] : [...found].sort().slice(0, SUGGESTIONS_MAX);
    };
    this.seen = { agent: add("agent"), role: add("role"), kind: add("kind") };
  }

  #adopt(view: View): void {
    const changed = toHash({ ...view, open: "" }) !== toHash({ filters: this.filters, open: "" });
    this.filters = view.filters;
    if (this.session !== "in") this.reading.id = view.open;
    else if (view.open !== this.reading.id) this.#open(view.open);
    if (changed && this.session === "in") void this.#load();
  }

  #note(how: "push" | "replace"): void {
    const url = location.pathname + toHash({ filters: this.filters, open: this.reading.id });
    if (how === "push") history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }
}
