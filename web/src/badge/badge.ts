// <inos-unread-badge>: the number of unread messages, for any page that the node serves.
//
//   <script type="module" src="/messages/assets/badge.js"></script>
//   <inos-unread-badge></inos-unread-badge>
//
// It is a link to the inbox, empty while there is nothing unread. Attributes: `every` (seconds between two looks, 15 unless
// told otherwise, at least 5). Its colours are --inos-badge-back and --inos-badge-text. Its property `unread` is the
// number, null when nobody is signed in or the node does not answer, undefined before the first answer; the event
// `inos-unread` says it whenever it changes.

const SHAPE = `
:host { display: inline-block; font: 600 0.8rem/1.4 system-ui, sans-serif; }
:host([hidden]) { display: none; }
a { display: inline-block; min-width: 1.4em; padding: 0 0.45em; border-radius: 99px; text-align: center; text-decoration: none;
  background: var(--inos-badge-back, #4050cf); color: var(--inos-badge-text, #fff); }
a:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
`;
const EVERY_S = 15;
const LEAST_S = 5;
const MOST_SHOWN = 99;

class UnreadBadge extends HTMLElement {
  #link = document.createElement("a");
  #timer: ReturnType<typeof setTimeout> | undefined;
  #count: number | null | undefined;
  #look = () => void this.#again();

  constructor() {
    super();
    // A sheet made by the script: a policy without inline styles lets it pass.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(SHAPE);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    this.#link.href = "/messages";
    this.#link.hidden = true;
    root.append(this.#link);
  }

  connectedCallback(): void {
    document.addEventListener("visibilitychange", this.#look);
    void this.#again();
  }

  /** What was last heard. A script that comes too late for the first event finds it here. */
  get unread(): number | null | undefined {
    return this.#count;
  }

  disconnectedCallback(): void {
    document.removeEventListener("visibilitychange", this.#look);
    clearTimeout(this.#timer);
  }

  async #again(): Promise<void> {
    clearTimeout(this.#timer);
    if (document.hidden || !this.isConnected) return;
    this.#show(await this.#unread());
    const every = Number(this.getAttribute("every")) || EVERY_S;
    clearTimeout(this.#timer);
    if (this.isConnected) this.#timer = setTimeout(this.#look, Math.max(LEAST_S, every) * 1000);
  }

  async #unread(): Promise<number | null> {
    try {
      const response = await fetch("/v1/messages/unread", { redirect: "error", cache: "no-store" });
      const said: unknown = response.ok ? await response.json() : null;
      const count = (said as { unread?: unknown } | null)?.unread;
      return typeof count === "number" ? count : null;
    } catch {
      return null;
    }
  }

  #show(count: number | null): void {
    if (count === this.#count) return;
    this.#count = count;
    this.#link.hidden = !count;
    this.#link.textContent = count && count > MOST_SHOWN ? `${MOST_SHOWN}+` : String(count ?? "");
    const words = `${count ?? 0} unread ${count === 1 ? "message" : "messages"}`;
    this.#link.setAttribute("aria-label", words);
    this.#link.title = words;
    this.dispatchEvent(new CustomEvent("inos-unread", { detail: count, bubbles: true }));
  }
}

customElements.define("inos-unread-badge", UnreadBadge);
