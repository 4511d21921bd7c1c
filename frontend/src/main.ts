import "./styles/tokens.css";
import "./styles/fonts.css";
import "./styles/base.css";
import "./styles/parts.css";
import { mount } from "svelte";
import App from "./app/App.svelte";
import { offline } from "./app/offline.ts";
import { chats } from "./lib/chat/chats.svelte.ts";
import { words } from "./lib/i18n/index.svelte.ts";
import { prefs } from "./lib/prefs.svelte.ts";
import { router } from "./lib/router.svelte.ts";
import { watchConnection } from "./lib/session.svelte.ts";
import { listen } from "./lib/shortcuts.ts";
import { applyTheme } from "./lib/theme.svelte.ts";

applyTheme();
document.documentElement.lang = prefs.lang;
router.start();
watchConnection();
listen();
void chats.load();
await words.need("shell");
const target = document.getElementById("app");
if (target !== null) mount(App, { target });
offline();
// The network comes after the first paint; what was under way goes on.
void import("./app/late.ts").then(({ late }) => late());
