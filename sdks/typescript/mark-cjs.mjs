// The package is ESM; this marks the files of its second build as CommonJS.
import { writeFileSync } from "node:fs";

writeFileSync("dist/cjs/package.json", '{"type": "commonjs"}\n');
