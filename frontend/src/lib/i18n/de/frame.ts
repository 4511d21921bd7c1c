import type { Catalogue } from "../types.ts";

const words: Catalogue["frame"] = {
  skip: "Zum Inhalt",
  loading: "Lädt",
  closeMenu: "Menü schließen",
  broken: {
    title: "Diese Seite konnte nicht geladen werden.",
    text: "Entweder besteht keine Verbindung, oder eine neuere Fassung hat sie ersetzt.",
    reload: "Neu laden",
  },
};
export default words;
