import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";

export type Note = { text: string; at: string };

const FILE = "data/notes.json";
const MOST = 30;

/** The newest note first; [] when nothing was written yet. */
export function readNotes(): Note[] {
  try {
    return JSON.parse(readFileSync(FILE, "utf8"));
  } catch {
    return [];
  }
}

export function addNote(text: string): void {
  const notes = [{ text: text.slice(0, 200), at: new Date().toISOString() }, ...readNotes()].slice(0, MOST);
  mkdirSync("data", { recursive: true });
  writeFileSync(`${FILE}.new`, JSON.stringify(notes));
  renameSync(`${FILE}.new`, FILE); // a reader never sees half a file
}
