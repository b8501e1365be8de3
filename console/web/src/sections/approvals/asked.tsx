// What is asked for: the exact statement, its values, its effects; or access, and what for.

import type { Approval, AskedCommand, Parameter } from "../../lib/contract";
import { afterEmptyLines, findings, mixedScripts } from "../../lib/escape";
import { byteLength } from "../../lib/prose";
import { duration } from "../../lib/time";
import { Chip, Fact, Note } from "../../ui/parts";
import { Code, Prose, Untrusted } from "../../ui/untrusted";
import { column, effects, isSql, object, scopeWords, targetWords } from "./model";

/** Kinds of hidden characters that are named. */
const MAX_FINDINGS = 8;

export function Asked({ approval }: { approval: Approval }) {
  if (approval.command) return <Command approval={approval} command={approval.command} />;
  return (
    <section class="card">
      <h2>Access to a target</h2>
      <dl class="facts">
        <Fact name="For">{duration(approval.access?.seconds ?? 0)}, from the moment that enough agreed</Fact>
        <Fact name="Opens">
          sessions to <Untrusted text={targetWords(approval)} />
        </Fact>
      </dl>
      <h3>What for, as whoever asks wrote it</h3>
      <Hidden text={approval.access?.reason ?? ""} />
      <blockquote class="quote" data-testid="reason">
        <Prose text={approval.access?.reason ?? ""} />
      </blockquote>
    </section>
  );
}

function Command({ approval, command }: { approval: Approval; command: AskedCommand }) {
  const bytes = byteLength(command.statement);
  const lines = command.statement.split("\n").length;
  return (
    <>
      <section class="card">
        <div class="card-head">
          <h2>Statement</h2>
          <span class="quiet">
            {bytes.toLocaleString("en")} bytes, {lines.toLocaleString("en")} {lines === 1 ? "line" : "lines"}
          </span>
        </div>
        <p class="chips">
          {effects(command, approval.target).map(({ label, tone, title }) => (
            <Chip key={label} tone={tone} {...(title ? { title } : {})}>
              <Untrusted text={label} />
            </Chip>
          ))}
        </p>
        <Hidden text={command.statement} />
        <Code text={command.statement} testid="statement" label="The exact statement" />
        <Parameters parameters={command.parameters ?? []} />
      </section>
      <section class="card">
        <h2>What it does</h2>
        <Effects command={command} target={approval.target} runs={scopeWords(approval)} />
      </section>
    </>
  );
}

/** Says what in a text is not what it seems. */
function Hidden({ text }: { text: string }) {
  const found = findings(text);
  const mixed = mixedScripts(text);
  const after = afterEmptyLines(text);
  if (found.length === 0 && mixed.length === 0 && after === null) return null;
  return (
    <Note tone="bad" title="Read with care: this text is not what it seems at a glance">
      <ul data-testid="hidden">
        {found.slice(0, MAX_FINDINGS).map(({ code, name, count, line }) => (
          <li key={code}>
            <code>{code}</code> {name}, {count === 1 ? "once" : `${count} times`}, first in line {line}
          </li>
        ))}
        {found.length > MAX_FINDINGS ? <li>and {found.length - MAX_FINDINGS} other kinds of hidden characters</li> : null}
        {mixed.length > 0 ? (
          <li>
            Words with letters of more than one script: <code>{mixed.join(", ")}</code>
          </li>
        ) : null}
        {after !== null ? <li>It goes on after many empty lines, in line {after}</li> : null}
      </ul>
      {found.length > 0 ? <p>They are shown as marks in the text, where they stand.</p> : null}
    </Note>
  );
}

function Effects({ command, target, runs }: { command: AskedCommand; target: Approval["target"]; runs: string }) {
  const kinds = command.kinds ?? [];
  const changesRows = kinds.some((kind) => kind === "update" || kind === "delete");
  return (
    <dl class="facts">
      <Fact name="Runs">{runs}</Fact>
      <Fact name="Tables">
        <Names names={(command.tables ?? []).map(object)} />
      </Fact>
      <Fact name="Columns">
        <Names names={(command.columns ?? []).map(column)} />
      </Fact>
      <Fact name={isSql(target) ? "Functions" : target?.kind === "mcp" ? "Tool" : "Operation"}>
        <Names names={command.functions ?? []} />
      </Fact>
      <Fact name="Labels">
        <Names names={command.labels ?? []} />
      </Fact>
      <Fact name="Read only">{command.read_only ? "yes: it provably changes nothing" : "no"}</Fact>
      {isSql(target) ? (
        <Fact name="Opaque">{command.opaque ? "yes: it runs code whose effect cannot be seen from its text" : "no"}</Fact>
      ) : null}
      {changesRows ? (
        <>
          <Fact name="WHERE">
            {command.has_where ? "every UPDATE and DELETE has one" : "missing: whole tables change"}
          </Fact>
          <Fact name="By key">{command.by_key ? "yes: one row by a whole unique key" : "no"}</Fact>
        </>
      ) : null}
      <Fact name="Rows, at most about">
        {command.estimated_rows?.toLocaleString("en") ?? (changesRows ? "not known" : null)}
      </Fact>
    </dl>
  );
}

function Names({ names }: { names: string[] }) {
  if (names.length === 0) return <span class="quiet">none</span>;
  return (
    <ul class="names">
      {names.map((name) => (
        <li key={name}>
          <Untrusted class="mono" text={name} />
        </li>
      ))}
    </ul>
  );
}

function Parameters({ parameters }: { parameters: Parameter[] }) {
  if (parameters.length === 0) return null;
  return (
    <>
      <h3>Values</h3>
      <ol class="values" data-testid="parameters">
        {parameters.map((parameter, index) => (
          <li key={index}>
            <span class="mono strong">{`$${index + 1}`}</span>
            <span class="quiet">{form(parameter)}</span>
            <div>
              <Value parameter={parameter} />
            </div>
          </li>
        ))}
      </ol>
    </>
  );
}

const FORMS = { null: "null", text: "text", base64: "binary", sha256: "digest" } as const;

function form({ bytes, value: { form: name } }: Parameter): string {
  if (name === "null") return FORMS.null;
  return `${FORMS[name]}, ${bytes.toLocaleString("en")} ${bytes === 1 ? "byte" : "bytes"}`;
}

function Value({ parameter: { value } }: { parameter: Parameter }) {
  switch (value.form) {
    case "null":
      return <span class="quiet">NULL</span>;
    case "text":
      return value.value === "" ? <span class="quiet">the empty text</span> : <Text text={value.value} />;
    case "base64":
      return <span class="mono wrap">base64 {value.value}</span>;
    case "sha256":
      return <span class="mono wrap">too long to show; SHA-256 {value.value}</span>;
  }
}

function Text({ text }: { text: string }) {
  const hidden = findings(text).length > 0 || mixedScripts(text).length > 0;
  return (
    <>
      {hidden ? <Chip tone="bad">not what it seems at a glance</Chip> : null}
      <Code text={text} />
    </>
  );
}
