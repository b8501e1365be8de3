import { render } from "preact";
import { App } from "./app";
import { listenForKeys } from "./lib/keys";
import { followAddress } from "./state/place";
import { startSession } from "./state/session";
import { applyTheme } from "./state/theme";
import "./styles/index.css";

applyTheme();
followAddress();
listenForKeys();
startSession();

const root = document.getElementById("app");
if (root) render(<App />, root);
