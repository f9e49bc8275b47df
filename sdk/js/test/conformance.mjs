// How the vectors of `conformance/` say what they mean: texts in parts, variables, and patterns of JSON.
import { readFileSync } from "node:fs";

export const vectors = (file) => JSON.parse(readFileSync(new URL(`../../../conformance/${file}`, import.meta.url), "utf8"));

const isVariable = (value) => typeof value === "string" && /^\$\w+$/.test(value);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The value with what its variables stand for. */
export function substituted(value, variables) {
  if (isVariable(value) && value in variables) return substituted(variables[value], variables);
  if (Array.isArray(value)) return value.map((each) => substituted(each, variables));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, substituted(each, variables)]));
}

/** A position is the same as text and as an object. */
const normal = (value) => (isObject(value) && Object.keys(value).sort().join() === "epoch,seq" ? `${value.epoch}.${value.seq}` : value);

/**
 * Whether a value is what is expected: an object has the fields that are named (`null`: hasn't), a variable takes what
 * it finds the first time and is the same ever after.
 */
export function matches(found, expected, variables) {
  if (isVariable(expected)) {
    if (!(expected in variables)) return found !== undefined && ((variables[expected] = found), true);
    return matches(found, variables[expected], variables);
  }
  if (expected === null) return found === undefined || found === null;
  if (isObject(expected)) {
    return isObject(found) && Object.entries(expected).every(([key, each]) => matches(found[key], each, variables));
  }
  return normal(found) === expected;
}
