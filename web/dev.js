// `npm run dev`: a page with changes shown at once, in front of a running node. INOS_API is the node's address; sign in
// with a code from `inos messages` as on the node itself.
import { createServer } from "vite";
import { configOf, pages } from "./pages.js";

const page = process.argv[2] ?? "inbox";
const node = process.env.INOS_API ?? "http://127.0.0.1:4780";
const behind = { target: node, changeOrigin: false, headers: { host: new URL(node).host, origin: node } };
const served = new RegExp(`^/(v1|query|sync|events|messages/session)`).source;
const config = configOf(page, undefined);
const server = await createServer({ ...config, logLevel: "info", server: { host: "127.0.0.1", proxy: { [served]: behind } } });
await server.listen();
console.log(`${server.resolvedUrls?.local[0] ?? ""} (${pages[page].base})`);
