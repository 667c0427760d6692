// Every page that the node serves: where its sources begin, where it is served, and where its built files lie.
// `entries` are scripts of their own beside the page (src/…): other pages load them by a name that must not change.
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";

export const here = dirname(fileURLToPath(import.meta.url));

export const pages = {
  inbox: { base: "/messages/", built: "../src/inos/api/inbox", entries: { badge: "src/badge/badge.ts" } },
};

// Names without hashes: the node tells browsers to ask each time, and a change of one file is a change of one file.
// Nothing is inlined, since the pages' policy allows no inline script or style.
export function configOf(page, outDir) {
  const { base, entries } = pages[page];
  const root = resolve(here, "src", page);
  const others = Object.fromEntries(Object.entries(entries).map(([name, path]) => [name, resolve(here, path)]));
  return {
    configFile: false,
    root,
    base,
    logLevel: "warn",
    publicDir: false,
    plugins: [svelte({ configFile: false, compilerOptions: { runes: true } })],
    build: {
      outDir,
      emptyOutDir: true,
      target: "es2022",
      modulePreload: false,
      assetsInlineLimit: 0,
      reportCompressedSize: false,
      rollupOptions: {
        checks: { pluginTimings: false },
        input: { [page]: resolve(root, "index.html"), ...others },
        output: {
          entryFileNames: "assets/[name].js",
          chunkFileNames: "assets/[name].js",
          assetFileNames: "assets/[name][extname]",
        },
      },
    },
  };
}
