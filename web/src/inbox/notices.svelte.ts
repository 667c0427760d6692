// What the page tells its reader beside the messages: notices that pass by, and the words a screen reader speaks.
import type { CallError } from "../lib/http";

export interface Notice {
  readonly key: number;
  readonly text: string;
  readonly hint: string;
  readonly bad: boolean;
  readonly undo: (() => void) | null;
}

const SHOWN_MS = 8000;
const MOST = 3;

export class Notices {
  list = $state.raw<readonly Notice[]>([]);
  spoken = $state("");
  #key = 0;

  show(text: string, undo: (() => void) | null = null): void {
    this.#add({ key: ++this.#key, text, hint: "", bad: false, undo });
  }

  fail(what: string, error: CallError): void {
    this.#add({ key: ++this.#key, text: `${what}: ${error.message}`, hint: error.hint, bad: true, undo: null });
  }

  // Said, not shown. The same words twice are spoken twice.
  speak(text: string): void {
    this.spoken = this.spoken === text ? `${text}\u00a0` : text;
  }

  close(key: number): void {
    this.list = this.list.filter((notice) => notice.key !== key);
  }

  // Takes back the last thing that can be.
  undo(): boolean {
    const last = this.list.findLast((notice) => notice.undo);
    if (!last?.undo) return false;
    this.close(last.key);
    last.undo();
    return true;
  }

  #add(notice: Notice): void {
    this.list = [...this.list, notice].slice(-MOST);
    if (!notice.bad) setTimeout(() => this.close(notice.key), SHOWN_MS);
  }
}
