import { route } from "../../lib/route";
import type { Section } from "../section";
import { ApprovalPage } from "./approval-page";
import { InboxPage } from "./inbox-page";

export const approvals: Section = {
  id: "approvals",
  nav: { label: "Approvals", hash: "#/approvals", key: "a" },
  routes: [route("/approvals", InboxPage), route("/approvals/:id", ApprovalPage)],
  keys: [
    { keys: "a", does: "On an approval: to Approve" },
    { keys: "d", does: "On an approval: to Deny" },
  ],
};
