// A stream of server-sent events that comes back by itself. Not EventSource: that gives up for good at the first
// answer that is not 200, does not say which it was, and cannot take up a stream where another one ended.
import { CallError, failure, reach, UNREACHABLE } from "./http";
import { EventParser, type ServerEvent } from "./sse";

export type Connection =
  | { state: "connecting" }
  | { state: "live" }
  | { state: "waiting"; error: CallError; retryAtMs: number }
  | { state: "paused" };

export interface StreamListener {
  events(events: ServerEvent[]): void;
  changed(connection: Connection): void;
  // The stream is there: at the first try, or again.
  opened(again: boolean): void;
  signedOut(): void;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
// The node says something every 15 s even when nothing happens: thrice that is a connection that died without a word.
const SILENCE_MS = 45_000;
// A stream that ends sooner has failed, whatever its status was: waits go on growing.
const STEADY_MS = 5_000;

// Doubles each time; the random half keeps the pages of a restarted node from coming back in step.
export function waitMs(failures: number, chance: number): number {
  const whole = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures, 10));
  return whole / 2 + (whole / 2) * chance;
}

export class LiveStream {
  #lastId = "";
  #again = false;
  #running: AbortController | null = null;
  #hurry: (() => void) | null = null;

  constructor(
    readonly path: string,
    readonly listener: StreamListener,
  ) {}

  start(): void {
    if (this.#running) return;
    this.#running = new AbortController();
    void this.#run(this.#running.signal);
  }

  stop(): void {
    this.#running?.abort();
    this.#running = null;
    this.listener.changed({ state: "paused" });
  }

  // What comes is of another source than before: do not resume.
  forget(): void {
    if (!this.#running) return;
    this.stop();
    this.#lastId = "";
    this.start();
  }

  // Stop waiting for the next try.
  retryNow(): void {
    this.#hurry?.();
  }

  async #run(stopped: AbortSignal): Promise<void> {
    let failures = 0;
    while (!stopped.aborted) {
      this.listener.changed({ state: "connecting" });
      let openedMs = Infinity;
      const error = await this.#once(stopped, () => {
        openedMs = Date.now();
        this.listener.opened(this.#again);
      });
      this.#again = true;
      if (Date.now() - openedMs > STEADY_MS) failures = 0;
      if (stopped.aborted) return;
      if (error.status === 401) {
        this.stop();
        this.listener.signedOut();
        return;
      }
      const wait = waitMs(failures++, Math.random());
      this.listener.changed({ state: "waiting", error, retryAtMs: Date.now() + wait });
      await this.#sleep(wait, stopped);
    }
  }

  // One connection, to its end; why it ended.
  async #once(stopped: AbortSignal, opened: () => void): Promise<CallError> {
    const dead = new AbortController();
    let alarm: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(alarm);
      alarm = setTimeout(() => dead.abort(), SILENCE_MS);
    };
    try {
      heard();
      const headers: Record<string, string> = { accept: "text/event-stream" };
      if (this.#lastId) headers["last-event-id"] = this.#lastId;
      const response = await reach(this.path, { headers, signal: AbortSignal.any([stopped, dead.signal]) });
      if (!response.ok || !response.body) return await failure(response);
      this.listener.changed({ state: "live" });
      opened();
      await this.#read(response.body, heard);
      return new CallError("ended", "The node ended the connection.");
    } catch (error) {
      return error instanceof CallError ? error : UNREACHABLE; // cut off, or silent for too long
    } finally {
      clearTimeout(alarm);
    }
  }

  async #read(body: ReadableStream<Uint8Array>, heard: () => void): Promise<void> {
    const parser = new EventParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const events = parser.push(decoder.decode(value, { stream: true }));
      if (parser.lastId) this.#lastId = parser.lastId;
      if (events.length) this.listener.events(events);
    }
  }

  async #sleep(forMs: number, stopped: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, forMs);
      this.#hurry = resolve;
      stopped.addEventListener("abort", () => resolve(), { once: true });
      void timer;
    });
    this.#hurry = null;
  }
}
