// Marks: set at once on the page and then on the node; taken back on the page when the node refuses, with its reason.
import { plural } from "../lib/format";
import { asCallError, type CallError } from "../lib/http";
import { stateOf, type MarkName, type Marks } from "../lib/types";
import type { Api } from "./api";
import type { Notices } from "./notices.svelte";
import type { Row, Rows } from "./rows.svelte";

// One mark to set or take away, of rows as they were before.
interface Step {
  readonly name: MarkName;
  readonly on: boolean;
  readonly rows: readonly Row[];
}

// Taking "executed" away would not undo what was executed: that mark stays.
const UNREAD_TAKES: readonly MarkName[] = ["archived", "acknowledged", "read"];

function stepOf(name: MarkName, on: boolean, rows: readonly Row[]): Step {
  return { name, on, rows: rows.filter((row) => (row.marks[name]?.on ?? false) !== on) };
}

export class Marking {
  // The messages whose hook is being run, so that it is not run twice by an impatient hand.
  executing = $state.raw<ReadonlySet<string>>(new Set());
  #turn: Promise<unknown> = Promise.resolve(); // the node hears of changes in their order
  #runs = 0;
  #latest = new Map<string, number>(); // by message, its last change that the node has not answered yet

  constructor(
    readonly api: Api,
    readonly rows: Rows,
    readonly notices: Notices,
    // Every change goes through here: to the list, the message that is open, and the count of unread ones.
    readonly changed: (marks: ReadonlyMap<string, Marks>) => void,
  ) {}

  // Whether a change of a message is under way, so that what others say of its marks is out of date.
  isChanging(id: string): boolean {
    return this.#latest.has(id);
  }

  async set(rows: readonly Row[], name: MarkName, on: boolean): Promise<void> {
    const step = stepOf(name, on, rows);
    await this.#tell([step], on ? name : `not ${name} any more`);
  }

  // Without a notice: whoever opens a message knows that it was read.
  async read(row: Row): Promise<void> {
    if (row.state === "unread") await this.#run([stepOf("read", true, [row])]);
  }

  async unread(rows: readonly Row[]): Promise<void> {
    const steps = UNREAD_TAKES.map((name) => stepOf(name, false, rows));
    const stay = rows.some((row) => row.marks.executed?.on);
    await this.#tell(steps, stay ? "open again; what was executed stays so" : "unread again");
  }

  // Runs the hook for each; the first refusal ends it. Which are done, and what went wrong, or null.
  async execute(ids: readonly string[]): Promise<{ done: ReadonlySet<string>; failure: CallError | null }> {
    const todo = ids.filter((id) => !this.executing.has(id));
    this.executing = new Set([...this.executing, ...todo]);
    const done = new Set<string>();
    let covered = true;
    let failure: CallError | null = null;
    try {
      for (const id of todo) {
        const executed = await this.api.execute(id);
        done.add(id);
        this.changed(new Map([[id, executed.marks]]));
        covered &&= executed.covered;
      }
    } catch (error) {
      failure = asCallError(error);
    }
    this.executing = new Set([...this.executing].filter((id) => !todo.includes(id)));
    if (done.size) this.notices.show(`Follow-up started for ${plural(done.size, "message")}`);
    this.#sayIfUncovered(covered);
    return { done, failure };
  }

  async #tell(steps: Step[], what: string): Promise<void> {
    const count = new Set(steps.flatMap((step) => step.rows.map((row) => row.id))).size;
    if (!count) return;
    const back = steps.map((step) => ({ ...step, on: !step.on }));
    const noun = count === 1 ? "Message" : plural(count, "message");
    this.notices.show(`${noun} ${what}`, () => void this.#run(back));
    this.#sayIfUncovered(await this.#run(steps));
  }

  // Whether what it did would outlive the hub's disk.
  async #run(steps: readonly Step[]): Promise<boolean> {
    const before = new Map<string, Row>();
    for (const row of steps.flatMap((step) => step.rows)) before.set(row.id, this.rows.get(row.id) ?? row);
    const after = new Map([...before].map(([id, row]) => [id, row.marks]));
    for (const { name, on, rows } of steps) {
      for (const { id } of rows) after.set(id, { ...after.get(id), [name]: { on, time_ms: Date.now(), by: "you" } });
    }
    const run = ++this.#runs;
    for (const id of before.keys()) this.#latest.set(id, run);
    this.#show(before, after);
    const answer = this.#turn.then(() => this.#ask(steps, before));
    this.#turn = answer;
    const { marks, covered } = await answer;
    this.#settle(run, before, marks);
    return covered;
  }

  // What holds by the node's word; what held before when it refuses.
  async #ask(steps: readonly Step[], before: ReadonlyMap<string, Row>): Promise<{ marks: Map<string, Marks>; covered: boolean }> {
    const marks = new Map([...before].map(([id, row]) => [id, row.marks]));
    let covered = true;
    try {
      for (const { name, on, rows } of steps) {
        const ids = rows.map((row) => row.id);
        if (!ids.length) continue;
        const marked = await this.api.mark(ids, name, on);
        for (const each of marked.messages) marks.set(each.message.id, each.marks);
        covered &&= marked.covered;
      }
    } catch (error) {
      this.notices.fail("Nothing was changed", asCallError(error));
    }
    return { marks, covered };
  }

  #sayIfUncovered(covered: boolean): void {
    if (!covered) this.notices.show("On the hub's disk alone for now: too few nodes answer. They get it later.");
  }

  // Of two changes of one message the later one shows, also when the answer to the earlier one comes after it began.
  #settle(run: number, rows: ReadonlyMap<string, Row>, marks: ReadonlyMap<string, Marks>): void {
    const mine = [...rows].filter(([id]) => this.#latest.get(id) === run);
    for (const [id] of mine) this.#latest.delete(id);
    this.#show(new Map(mine), new Map(mine.map(([id, row]) => [id, marks.get(id) ?? row.marks])));
  }

  // Also puts back rows that had gone from the list and belong there again.
  #show(rows: ReadonlyMap<string, Row>, marks: ReadonlyMap<string, Marks>): void {
    this.changed(marks);
    for (const [id, row] of rows) {
      const now = marks.get(id) ?? row.marks;
      this.rows.restore({ ...row, marks: now, state: stateOf(now) });
    }
  }
}
