import "./styles/tokens.css";
import "./styles/fonts.css";
import "./styles/base.css";
import "./styles/parts.css";
import { mount } from "svelte";
import App from "./app/App.svelte";
import { words } from "./lib/i18n/index.svelte.ts";
import { prefs } from "./lib/prefs.svelte.ts";
import { router } from "./lib/router.svelte.ts";
import { watchConnection } from "./lib/session.svelte.ts";
import { applyTheme } from "./lib/theme.svelte.ts";

applyTheme();
document.documentElement.lang = prefs.lang;
router.start();
watchConnection();
await words.need("frame");
const target = document.getElementById("app");
if (target !== null) mount(App, { target });
void import("./app/offline.ts").then(({ offline }) => offline());
// Chats come from the database and the rest from the network, both after the first paint.
const stored = import("./lib/chat/chats.svelte.ts").then(({ chats }) => chats.load());
void import("./app/late.ts").then(({ late }) => late(stored));
