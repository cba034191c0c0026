// Makes settlement.json with the reference implementation, in a folder that has the packages of examples/settlement:
//   cd examples/settlement && npm ci && node ../../tests/vectors/settlement.mjs > ../../tests/vectors/settlement.json
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");
const { keccak256 } = require("ethereum-cryptography/keccak");

const SIZES = [1, 2, 3, 4, 5, 7, 8, 9];

function checksummed(digits) {
  const marks = Buffer.from(keccak256(Buffer.from(digits))).toString("hex");
  return "0x" + [...digits].map((digit, i) => (parseInt(marks[i], 16) >= 8 ? digit.toUpperCase() : digit)).join("");
}

const digest = (text) => createHash("sha256").update(text).digest("hex");
const account = (n, i) => checksummed(digest(`account ${n} ${i}`).slice(0, 40));
const amount = (n, i) => (BigInt("0x" + digest(`amount ${n} ${i}`)) >> BigInt((i * 37) % 256)).toString();

const trees = SIZES.map((n) => {
  const values = Array.from({ length: n }, (_, i) => [account(n, i), amount(n, i)]);
  const tree = StandardMerkleTree.of(values, ["address", "uint256"]);
  return {
    values,
    root: tree.root,
    leaves: values.map((value) => tree.leafHash(value)),
    proofs: values.map((_, i) => tree.getProof(i)),
    dump: JSON.stringify(tree.dump()),
  };
});

const { version } = require("@openzeppelin/merkle-tree/package.json");
console.log(JSON.stringify({ made: `by settlement.mjs with @openzeppelin/merkle-tree ${version}`, trees }, null, 1));
