// Builds every page into the Python package, and writes down what was built of what: `built.json`, which
// tests/test_web.py compares without node. `node build.js FOLDER` builds below FOLDER instead, to be compared.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { build } from "vite";
import { configOf, here, pages } from "./pages.js";

const SOURCES = ["src", "build.js", "pages.js", "package.json", "package-lock.json", "tsconfig.json"];

function filesBelow(path) {
  return statSync(path).isDirectory() ? readdirSync(path).flatMap((name) => filesBelow(join(path, name))) : [path];
}

function digests(root, paths) {
  const named = paths.map((path) => [relative(root, path).split(sep).join("/"), path]);
  named.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(named.map(([name, path]) => [name, createHash("sha256").update(readFileSync(path)).digest("hex")]));
}

const sources = digests(here, SOURCES.flatMap((name) => filesBelow(join(here, name))));
const built = {};
const elsewhere = process.argv[2];
for (const [page, { built: inPackage }] of Object.entries(pages)) {
  const outDir = elsewhere ? resolve(elsewhere, page) : resolve(here, inPackage);
  await build(configOf(page, outDir));
  built[inPackage] = digests(outDir, filesBelow(outDir));
}
const manifest = resolve(elsewhere ?? here, "built.json");
writeFileSync(manifest, `${JSON.stringify({ sources, built }, null, 2)}\n`);
