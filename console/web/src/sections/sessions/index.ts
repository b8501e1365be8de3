import { route } from "../../lib/route";
import type { Section } from "../section";
import { ReplayPage } from "./replay-page";
import { SessionsPage } from "./sessions-page";

export const sessions: Section = {
  id: "sessions",
  nav: { label: "Sessions", hash: "#/sessions", key: "s" },
  routes: [route("/sessions", SessionsPage), route("/sessions/:id", ReplayPage)],
  needsAudit: true,
};
