// What the gateway and the query service answer; field names as in docs/reference/approvals.md, grants.md,
// revocation.md and query.md. What serde leaves out when it is empty is optional here.

export interface Provider {
  id: string;
  name: string;
}

export interface SessionInfo {
  signed_in: boolean;
  expires_at: string | null;
  renewable: boolean;
  providers: Provider[];
  /** Whether a query service is configured: without it there is no history, no sessions, no replay. */
  audit: boolean;
}

export type PrincipalKind = "human" | "agent" | "service";

export interface Principal {
  issuer: string;
  subject: string;
  display_name: string;
  kind: PrincipalKind;
  groups?: string[];
  owner?: string;
}

export interface Actor {
  subject: string;
  issuer?: string;
}

export interface WhoAmI {
  principal: Principal;
  delegation: Actor[];
  expires_at: string;
}

export interface AgentAttributes {
  model?: string;
  agent?: string;
  task?: string;
  other?: Record<string, string>;
}

export interface TargetRef {
  name: string;
  kind: string;
  database?: string;
}

export interface Requirement {
  group: string;
  quorum: number;
}

export type ParameterValue =
  | { form: "null" }
  | { form: "text"; value: string }
  | { form: "base64"; value: string }
  | { form: "sha256"; value: string };

export interface Parameter {
  bytes: number;
  value: ParameterValue;
}

export interface ObjectRef {
  schema?: string;
  name: string;
}

export interface ColumnRef {
  schema?: string;
  table: string;
  column: string;
}

export interface AskedCommand {
  command_id: string;
  statement: string;
  parameters?: Parameter[];
  kinds?: string[];
  tables?: ObjectRef[];
  columns?: ColumnRef[];
  functions?: string[];
  labels?: string[];
  read_only: boolean;
  opaque: boolean;
  has_where: boolean;
  by_key: boolean;
  estimated_rows?: number;
}

export interface AskedAccess {
  seconds: number;
  reason: string;
}

export type ApprovalState = "pending" | "approved" | "denied" | "expired" | "withdrawn" | "used";

export interface Answer {
  reviewer: { issuer: string; subject: string; display_name: string };
  agrees: boolean;
  at: string;
  comment?: string;
}

export interface Approval {
  approval_id: string;
  state: ApprovalState;
  cause?: string;
  digest: string;
  asked_at: string;
  expires_at: string;
  stands_until: string;
  ended_at?: string;
  principal: Principal | null;
  delegation: Actor[];
  agent: AgentAttributes;
  target: TargetRef | null;
  session_id: string | null;
  session_bound: boolean;
  scope: "once" | "session" | "period";
  requirements: Requirement[];
  missing: Requirement[];
  reasons: string[];
  policy_ids: string[];
  policy_version: string;
  kind: "command" | "access";
  command?: AskedCommand;
  access?: AskedAccess;
  answers: Answer[];
  uses: number;
  last_command_id?: string;
  you: { may_answer: boolean; why_not?: string };
}

export interface ApprovalList {
  approvals: Approval[];
  seen: number;
}

export type StepKind = "session" | "decision" | "command" | "response" | "notice" | "approval";

export interface ReplayStep {
  seq: number | null;
  at: string;
  kind: StepKind;
  text: string;
  lines: string[];
  more: boolean;
}

export interface ReplayPage {
  steps: ReplayStep[];
  next: number | null;
  /** False where the session has more events than the gateway looks at. */
  whole?: boolean;
}
