// A person in words, never cut: the full name, the birth date with its month spelled out, ID and accession.

import { h } from "./dom.js";
import { sexWords } from "./words.js";

const fact = (label, words, testid) => h("span.fact", { testid }, label ? h("small", {}, `${label} `) : null, words);

export function nameOf(patient) {
  const length = patient.spoken_name.length;
  return h("span.name", { testid: "name", "data-length": length > 84 ? "huge" : length > 42 ? "long" : "" }, patient.spoken_name);
}

export function factsOf(patient, accession) {
  const known = Boolean(patient.birth_date && patient.birth_words);
  const birth = fact(known ? "born" : "", known ? patient.birth_words : "birth date not known", "birth");
  return h("span.facts", {}, birth, sexWords(patient.sex) ? fact("", sexWords(patient.sex)) : null, fact("ID", patient.id, "patient-id"), accession ? fact("Acc", accession, "accession") : null);
}

// What may hurt this patient; `place` is an order or the open exam
export function dangers(place) {
  const parts = [
    ["Allergies", place.allergies],
    ["Alert", place.alerts],
    ["Pregnancy", pregnancyWords(place.pregnancy, place.patient.sex)],
    ["Special needs", place.special_needs],
  ];
  return parts.filter(([, words]) => words);
}

// The standard's codes (0010,21C0) or words; what is no danger is not said
const PREGNANCY = { "0001": "", "0002": "possibly pregnant", "0003": "pregnant", "0004": "not known", "not pregnant": "", "pregnancy unknown": "not known" };
function pregnancyWords(words = "", sex = "") {
  const said = PREGNANCY[/^\d+$/.test(words) ? words.padStart(4, "0") : words] ?? words;
  return said === "not known" && sex === "M" ? "" : said;
}
