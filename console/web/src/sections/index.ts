// The sections of the console, in the order of the header. A new one is a folder beside this file and a line here.

import { approvals } from "./approvals";
import { sessions } from "./sessions";
import type { Section } from "./section";

export const SECTIONS: readonly Section[] = [approvals, sessions];
