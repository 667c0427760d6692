// The message that is open.
import { asCallError, type CallError } from "../lib/http";
import { stateOf, type Marks, type Stored } from "../lib/types";
import type { Api } from "./api";

const READ_AFTER_MS = 500; // passing over a message is not reading it

export class Reading {
  id = $state(""); // "" when none is open
  stored = $state.raw<Stored | null>(null); // null until it is here
  failure = $state.raw<CallError | null>(null);
  #dwell: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly api: Api,
    readonly read: (stored: Stored) => void, // somebody looked at it long enough
    readonly signedOut: () => void,
  ) {}

  open(id: string): void {
    this.close();
    this.id = id;
    if (id) void this.fetch();
  }

  close(): void {
    clearTimeout(this.#dwell);
    this.id = "";
    this.stored = null;
    this.failure = null;
  }

  async fetch(): Promise<void> {
    const id = this.id;
    this.failure = null;
    try {
      const stored = await this.api.message(id);
      if (id !== this.id) return;
      this.stored = stored;
      this.#dwell = setTimeout(() => this.stored && this.read(this.stored), READ_AFTER_MS);
    } catch (error) {
      if (id !== this.id) return;
      this.failure = asCallError(error);
      if (this.failure.status === 401) this.signedOut();
    }
  }

  remark(changed: ReadonlyMap<string, Marks>): void {
    const marks = this.stored && changed.get(this.stored.message.id);
    if (this.stored && marks) this.stored = { ...this.stored, marks, state: stateOf(marks) };
  }
}
