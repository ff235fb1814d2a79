// Counts the numbers other than -1, 0, 1 and 2 in the code that chooses and proposes rounds.
//
//   node scripts/count-constants.mjs [FOLDER...]
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const root = join(import.meta.dirname, "..");
const folders = ["src/decoding/controller", "src/decoding/planners", "src/decoding/proposers"];
const plain = new Set([0, 1, 2]);
let total = 0;
for (const folder of process.argv.length > 2 ? process.argv.slice(2) : folders) {
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
  for (const name of files) {
    const found = numbersOf(readFileSync(join(root, folder, name), "utf8"));
    total += found.length;
    if (found.length > 0) console.log(`${found.length}\t${folder}/${name}: ${found.join(" ")}`);
  }
}
console.log(`${total}\tin all`);

/** Numeric literals of a source, without comments, strings and types. */
function numbersOf(text) {
  const found = [];
  const visit = (node) => {
    if (ts.isTypeNode(node)) return;
    if (ts.isNumericLiteral(node) && !plain.has(Number(node.text))) found.push(node.getText());
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("source.ts", text, ts.ScriptTarget.Latest, true));
  return found;
}
