// The list: rows of the messages that the filters ask for, newest first, loaded page by page and kept true by what
// arrives. A row holds what a list shows, not the message, so that thousands of them are small.
import { asCallError, type CallError } from "../lib/http";
import { stateOf, type Marks, type State, type Stored } from "../lib/types";
import type { Api } from "./api";
import { headline } from "./content";
import { matches, stateMatches, toParams, type Filters } from "./filters";

export interface Row {
  readonly id: string;
  readonly seq: number;
  readonly timeMs: number;
  readonly agent: string;
  readonly kind: string;
  readonly priority: number;
  readonly role: string;
  readonly task: string;
  readonly attachments: number;
  readonly title: string;
  readonly preview: string;
  readonly snippet: string;
  readonly state: State;
  readonly marks: Marks;
}

const FIRST_PAGE = 100; // soon there
const PAGE = 300; // while somebody scrolls
// Some 20 MB of a browser's memory. Whoever looks for something older has filters and a search.
export const MOST_ROWS = 20_000;

export function rowOf(stored: Stored): Row {
  const { message } = stored;
  return {
    id: message.id,
    seq: stored.seq,
    timeMs: message.time_ms,
    agent: message.agent,
    kind: message.kind,
    priority: message.priority,
    role: message.role ?? "",
    task: message.task ?? "",
    attachments: message.attachments?.length ?? 0,
    ...headline(message.content),
    snippet: stored.snippet ?? "",
    state: stored.state,
    marks: stored.marks,
  };
}

export class Rows {
  list = $state.raw<readonly Row[]>([]);
  loading = $state(false);
  complete = $state(false); // nothing older is left to load
  whole = $state(true); // false while the hub cannot be asked, and only what this node keeps is shown
  failure = $state.raw<CallError | null>(null);
  // Arrivals that a search may find, but that only the node can tell.
  unsearched = $state(0);

  #filters: Filters | null = null;
  #next = "";
  #loading: AbortController | null = null;
  #coming: Promise<void> = Promise.resolve();
  #early: Stored[] | null = null; // what arrived while the first page is on its way
  #known = new Map<string, Row>();

  constructor(readonly api: Api) {}

  get(id: string): Row | undefined {
    return this.#known.get(id);
  }

  indexOf(id: string): number {
    const row = this.#known.get(id);
    return row ? this.list.indexOf(row) : -1;
  }

  // Show what these filters ask for. What was there stays in sight until the answer is.
  async load(filters: Filters): Promise<void> {
    this.#loading?.abort();
    this.#filters = filters;
    this.#early = [];
    this.#next = "";
    this.unsearched = 0;
    await this.#page(true);
  }

  async more(): Promise<void> {
    if (this.loading || this.complete || this.failure || !this.#filters) return;
    await this.#page(false);
  }

  // The page that failed, again.
  async retry(): Promise<void> {
    if (this.#filters && this.failure) await this.#page(!this.#next);
  }

  // The first page again, over what is shown; what was loaded below it stays.
  async refresh(): Promise<void> {
    await this.#coming;
    const filters = this.#filters;
    if (!filters || this.failure) return;
    const before = this.#known;
    try {
      const page = await this.api.page(toParams(filters, Date.now(), FIRST_PAGE));
      if (filters !== this.#filters) return;
      this.whole = page.whole;
      const head = page.messages.map(rowOf);
      const last = page.next ? (head.at(-1)?.seq ?? 0) : 0;
      const fresh = new Set(head.map((row) => row.id));
      const arrived = this.list.filter((row) => !before.has(row.id) && !fresh.has(row.id) && row.seq >= last);
      this.#set([...arrived, ...head, ...this.list.filter((row) => row.seq < last)]);
    } catch (error) {
      this.failure = asCallError(error);
    }
  }

  #page(first: boolean): Promise<void> {
    return (this.#coming = this.#ask(first));
  }

  async #ask(first: boolean): Promise<void> {
    const filters = this.#filters;
    if (!filters) return;
    const mine = (this.#loading = new AbortController());
    this.loading = true;
    try {
      const params = toParams(filters, Date.now(), first ? FIRST_PAGE : PAGE, first ? "" : this.#next);
      const page = await this.api.page(params, mine.signal);
      if (mine !== this.#loading) return;
      if (first) this.#set([]);
      this.whole = page.whole;
      const rows = page.messages.map(rowOf).filter((row) => first || !this.#known.has(row.id));
      this.#set([...this.list, ...rows]);
      this.#next = page.next;
      this.complete = !page.next || this.list.length === MOST_ROWS;
      this.failure = null;
      const early = this.#early;
      this.#early = null;
      this.arrive(early ?? []);
    } catch (error) {
      if (mine === this.#loading) this.failure = asCallError(error);
    } finally {
      if (mine === this.#loading) {
        this.loading = false;
        this.#loading = null;
      }
    }
  }

  // Take in new messages, oldest first; how many of them became rows.
  arrive(stored: Stored[]): number {
    const filters = this.#filters;
    if (!filters || !stored.length) return 0;
    if (this.#early) {
      this.#early.push(...stored);
      return 0;
    }
    const fitting = stored.filter((each) => !this.#known.has(each.message.id) && matches(filters, each, Date.now()));
    if (filters.text.trim()) {
      this.unsearched += fitting.length;
      return 0;
    }
    const rows = new Map(fitting.map((each) => [each.message.id, rowOf(each)]));
    const [newest] = this.list;
    const sorted = [...rows.values()].sort((a, b) => b.seq - a.seq);
    const late = sorted.filter((row) => newest && row.seq < newest.seq); // the rest goes on top in one go
    this.#set([...sorted.slice(0, sorted.length - late.length), ...this.list]);
    for (const row of late) this.#place(row);
    return rows.size;
  }

  // Put a row where its turn is; one that belongs further down than what is loaded comes with its page.
  #place(row: Row): void {
    const at = this.list.findIndex((each) => each.seq < row.seq);
    if (at < 0 && !this.complete) return;
    this.#set(at < 0 ? [...this.list, row] : this.list.toSpliced(at, 0, row));
  }

  restore(row: Row): void {
    if (!this.#known.has(row.id) && this.#filters && stateMatches(this.#filters.state, row.state)) this.#place(row);
  }

  // New marks. A row that does not belong any more goes, unless it is to stay (`keep`): what was just opened and so
  // became read should not vanish under the reader.
  remark(changed: ReadonlyMap<string, Marks>, keep: (row: Row) => boolean): void {
    const filters = this.#filters;
    let same = true;
    const rows: Row[] = [];
    for (const row of this.list) {
      const marks = changed.get(row.id);
      if (!marks) {
        rows.push(row);
        continue;
      }
      same = false;
      const now = { ...row, marks, state: stateOf(marks) };
      if (!filters || stateMatches(filters.state, now.state) || keep(now)) rows.push(now);
    }
    if (!same) this.#set(rows);
  }

  #set(rows: readonly Row[]): void {
    if (rows.length > MOST_ROWS) {
      rows = rows.slice(0, MOST_ROWS);
      this.complete = true;
    }
    this.list = rows;
    this.#known = new Map(rows.map((row) => [row.id, row]));
  }
}
