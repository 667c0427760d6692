// Starts the inbox in its page.
import { mount } from "svelte";
import "../lib/theme.css";
import App from "./App.svelte";
import { api } from "./api";
import { Inbox } from "./inbox.svelte";

const inbox = new Inbox(api);
const target = document.getElementById("app");
if (target) {
  target.replaceChildren();
  mount(App, { target, props: { inbox } });
}
window.addEventListener("hashchange", () => void inbox.enter());
window.addEventListener("popstate", () => void inbox.enter());
document.addEventListener("visibilitychange", () => inbox.live.visible(!document.hidden));
void inbox.enter();
