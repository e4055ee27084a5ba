// How things are said: durations, ages, dates, and letters that mean the same when searching.

export const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const SEXES = { M: "male", F: "female", O: "other" };
const UMLAUTS = { ä: "ae", ö: "oe", ü: "ue", ß: "ss", æ: "ae", œ: "oe", ø: "oe", å: "aa", þ: "th", ð: "d", ł: "l", đ: "d" };

// "Müller" is found by müller, muller and mueller: two spellings, both without accents
export function fold(text) {
  const lower = text.toLocaleLowerCase("en").normalize("NFC");
  const long = lower.replace(/[äöüßæœøåþðłđ]/g, (letter) => UMLAUTS[letter]);
  const short = lower.replace(/[øł]/g, (letter) => ({ ø: "o", ł: "l" })[letter]).replace(/ß/g, "ss");
  const bare = (word) => word.normalize("NFD").replace(/\p{M}/gu, "");
  return [...new Set([bare(short), bare(long), lower])].join("\n");
}

// Every word of the query must occur somewhere, in any order
export function matches(haystack, query) {
  return query.split(/[\s,^]+/).filter(Boolean).every((word) => fold(word).split("\n").some((spelling) => haystack.includes(spelling)));
}

export const sexWords = (sex) => SEXES[sex] ?? "";

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function age(seconds) {
  if (seconds < 10) return "just now";
  if (seconds < 90) return `${Math.round(seconds / 10) * 10} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

export function clock(iso) {
  const time = new Date(iso);
  return Number.isNaN(time.valueOf()) ? "" : `${String(time.getHours()).padStart(2, "0")}:${String(time.getMinutes()).padStart(2, "0")}`;
}

// DICOM's HHMMSS and YYYYMMDD for people
export const timeWords = (time) => (time.length >= 4 ? `${time.slice(0, 2)}:${time.slice(2, 4)}` : "");
export function dateWords(date, withYear = true) {
  if (!/^\d{8}$/.test(date)) return "";
  const words = `${Number(date.slice(6))} ${MONTHS[Number(date.slice(4, 6)) - 1] ?? ""}`;
  return withYear ? `${words} ${date.slice(0, 4)}` : words;
}

export function today() {
  const now = new Date();
  return `${now.getFullYear()}${String(now.getMonth() + 1).padStart(2, "0")}${String(now.getDate()).padStart(2, "0")}`;
}

// A day, a month from 1 and a year as YYYYMMDD, or what is wrong with them
export function dateOf(day, month, year) {
  const date = new Date(year, month - 1, day);
  if (year < 1000) date.setFullYear(year);
  if (date.getFullYear() !== year || date.getMonth() !== month - 1 || date.getDate() !== day) return { wrong: "There is no such day." };
  if (date > new Date()) return { wrong: "That day has not come yet." };
  if (year < 1880) return { wrong: "That is too long ago." };
  return { date: `${String(year).padStart(4, "0")}${String(month).padStart(2, "0")}${String(day).padStart(2, "0")}` };
}

// A typed date: 3 March 1957, March 3 1957, 1957-03-03, 19570303. 01.02.2011 could mean two days and is refused.
export function readDate(text) {
  const typed = text.trim().toLowerCase();
  if (!typed) return { date: "" };
  const iso = typed.match(/^(\d{4})-?(\d{2})-?(\d{2})$/);
  if (iso) return dateOf(Number(iso[3]), Number(iso[2]), Number(iso[1]));
  const parts = typed.split(/[\s.,/-]+/).filter(Boolean);
  const month = MONTHS.findIndex((name) => parts.some((part) => part.length >= 3 && name.toLowerCase().startsWith(part))) + 1;
  const numbers = parts.filter((part) => /^\d+$/.test(part));
  const year = numbers.find((part) => part.length === 4);
  const day = numbers.find((part) => part.length <= 2);
  if (!month) return { wrong: "Write the month as a word: 3 March 1957." };
  if (!year || !day || numbers.length !== 2) return { wrong: "Day, month and four digits of the year: 3 March 1957." };
  return dateOf(Number(day), month, Number(year));
}

export function space(megabytes) {
  return megabytes >= 10240 ? `${Math.floor(megabytes / 1024)} GB` : megabytes >= 1024 ? `${(megabytes / 1024).toFixed(1)} GB` : `${Math.floor(megabytes)} MB`;
}

export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
export const capital = (words) => words.charAt(0).toLocaleUpperCase("en") + words.slice(1);
