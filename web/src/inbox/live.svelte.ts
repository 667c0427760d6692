// News from the node: the stream of events while the page is in sight, and the count of unread messages always.
import { LiveStream, type Connection } from "../lib/stream";
import type { MessageEvent } from "../lib/types";
import { asCallError } from "../lib/http";
import type { Api } from "./api";

// A flood of arrivals is shown some ten times a second; unread ones are counted once a second at most.
const FLUSH_MS = 80;
const COUNT_MS = 1000;
// A page out of sight lets go of its stream, since a browser keeps six connections to a node, and counts now and then.
const HIDDEN_MS = 30_000;
const HIDDEN_COUNT_MS = 20_000;
const AWAY_COUNT_MS = 5_000;

export interface Listener {
  happened(events: readonly MessageEvent[]): void;
  // The stream is there. `same`: what it has not got yet follows, only marks may have been missed; else everything.
  there(same: boolean): void;
  signedOut(): void;
}

export class Live {
  connection = $state.raw<Connection>({ state: "paused" });
  unread = $state(0);
  away = $state(false); // the node is there, and says that its hub is not

  #stream: LiveStream;
  #running = false;
  #hub = "";
  #same = true;
  #events: MessageEvent[] = [];
  #flush: ReturnType<typeof setTimeout> | null = null;
  #count: ReturnType<typeof setTimeout> | null = null;
  #hide: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly api: Api,
    readonly listener: Listener,
  ) {
    this.#stream = new LiveStream("/events", {
      events: (events) => {
        this.away = false;
        for (const { data } of events) this.#events.push(JSON.parse(data) as MessageEvent);
        this.#flush ??= setTimeout(() => this.#tell(), FLUSH_MS);
      },
      changed: (connection) => (this.connection = connection),
      opened: (again) => void this.#opened(again),
      signedOut: () => listener.signedOut(),
    });
  }

  start(): void {
    this.#running = true;
    this.#stream.start();
    this.recount();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#hide);
    this.#stream.stop();
  }

  // Stop waiting for the next try.
  retryNow(): void {
    this.#stream.retryNow();
  }

  // The page came into sight, or went out of it.
  visible(shown: boolean): void {
    clearTimeout(this.#hide);
    if (!this.#running) return;
    if (shown) this.start();
    else this.#hide = setTimeout(() => this.#whileHidden(), HIDDEN_MS);
  }

  // Ask for the number of unread messages, soon.
  recount(): void {
    this.#count ??= setTimeout(() => void this.#recounted(), COUNT_MS);
  }

  // A stream that is there says nothing of a hub that is there again, until a message comes.
  #askAgain(): void {
    this.#count ??= setTimeout(() => void this.#recounted(), AWAY_COUNT_MS);
  }

  #whileHidden(): void {
    this.#stream.stop();
    this.recount();
    this.#hide = setTimeout(() => this.#whileHidden(), HIDDEN_COUNT_MS);
  }

  // A hub that took over counts anew, so a stream cannot go on where the one of the hub before ended.
  async #opened(again: boolean): Promise<void> {
    try {
      const { hub, unread, reachable } = await this.api.report();
      this.away = !reachable;
      if (this.away) this.#askAgain();
      const before = this.#hub;
      this.#hub = hub;
      this.unread = unread;
      this.#same &&= before === hub || (before === "" && !again);
      if (before && before !== hub) {
        this.#stream.forget();
        return;
      }
      this.listener.there(this.#same);
      this.#same = true;
    } catch (error) {
      if (asCallError(error).status === 401) this.listener.signedOut();
      else this.listener.there(false);
    }
  }

  async #recounted(): Promise<void> {
    this.#count = null;
    if (!this.#running) return;
    try {
      this.unread = await this.api.unread();
      this.away = false; // it is the hub who counts
    } catch (error) {
      // Anything else shows in the connection, and comes right with it.
      if (asCallError(error).status === 401) this.listener.signedOut();
      else if (this.away) this.#askAgain();
    }
  }

  #tell(): void {
    this.#flush = null;
    this.listener.happened(this.#events.splice(0));
  }
}
