//! The families of arbitrary events.

use tallyport_schemas::*;

use super::Seed;

impl Seed {
    pub(super) fn integrity(&mut self) -> Integrity {
        match self.byte() % 4 {
            0 => Integrity::ProducerStopped { events: self.number() },
            1 => Integrity::ProducerStarted { version: self.text(), role: self.text() },
            2 => Integrity::Gap {
                first_seq: self.number(),
                last_seq: self.number(),
                outcome: self.pick(GapOutcome::ALL),
                reason: self.text(),
            },
            _ => Integrity::Checkpoint {
                tree_size: self.number(),
                root: self.text(),
                key_id: self.text(),
                signature: self.text(),
            },
        }
    }

    pub(super) fn authentication(&mut self) -> Authentication {
        Authentication {
            outcome: self.pick(Outcome::ALL),
            method: self.pick(AuthMethod::ALL),
            front: self.pick(Front::ALL),
            failure: self.option(Self::text),
            message: self.option(Self::text),
            issuer: self.option(Self::text),
            token_id: self.option(Self::text),
            key_id: self.option(Self::text),
            binding: self.option(|it| it.pick(TokenBinding::ALL)),
            expires_at: self.option(Self::time),
        }
    }

    pub(super) fn session(&mut self) -> Session {
        let stats = SessionStats {
            commands: self.number(),
            refused: self.number(),
            rows: self.number(),
            bytes_to_target: self.number(),
            bytes_to_agent: self.number(),
        };
        match self.byte() % 6 {
            0 => Session::Closed { end: self.pick(SessionEnd::ALL), stats },
            1 => Session::Opened {
                expires_at: self.option(Self::time),
                application: self.option(Self::text),
                parameters: self.list(|s| (s.text(), s.text())).into_iter().collect(),
            },
            2 => Session::Granted { grant_id: self.approval_id(), expires_at: self.time() },
            3 => Session::Expired { cause: self.text(), stats },
            4 => Session::Revoked {
                by: self.text(),
                reason: self.text(),
                revocation_id: self.option(|s| RevocationId::from_uuid(s.uuid())),
                stats,
            },
            _ => Session::Lost { cause: self.text(), message: self.text(), stats },
        }
    }

    pub(super) fn decision(&mut self) -> Decision {
        const ACTIONS: &[&str] = &[
            "sql:connect",
            "sql:select",
            "sql:insert",
            "sql:update",
            "sql:delete",
            "col:read",
            "",
        ];
        Decision {
            effect: self.pick(Effect::ALL),
            actions: self.list(|s| s.pick(ACTIONS).to_owned()),
            resources: self.list(Self::text),
            policy_ids: self.list(Self::text),
            policy_version: self.text(),
            obligations: self.list(|s| Obligation {
                kind: s.text(),
                value: s.text(),
                on: s.option(Self::text),
            }),
            reasons: self.list(Self::text),
            command_id: self.option(Self::command_id),
        }
    }

    fn column(&mut self) -> ColumnRef {
        ColumnRef { schema: self.option(Self::text), table: self.text(), column: self.text() }
    }

    fn parameter(&mut self) -> Parameter {
        let value = match self.byte() % 4 {
            0 => ParameterValue::Null,
            1 => ParameterValue::Text(self.text()),
            2 => ParameterValue::Base64(self.text()),
            _ => ParameterValue::Sha256(self.text()),
        };
        Parameter { bytes: self.number(), value }
    }

    pub(super) fn command(&mut self) -> Command {
        Command {
            command_id: self.command_id(),
            phase: self.pick(Phase::ALL),
            disposition: self.pick(Disposition::ALL),
            statement: self.option(Self::text),
            statement_sha256: self.option(Self::text),
            fingerprint: self.option(Self::text),
            kinds: self.list(|s| s.pick(StatementKind::ALL)),
            tables: self.list(|s| ObjectRef { schema: s.option(Self::text), name: s.text() }),
            columns: self.list(Self::column),
            functions: self.list(Self::text),
            labels: self.list(Self::text),
            read_only: self.bool(),
            opaque: self.bool(),
            parameters: self.list(Self::parameter),
            prepared: self.option(Self::text),
            portal: self.option(Self::text),
            wire_bytes: self.number(),
            wire_sha256: self.text(),
            content: self.option(Self::content),
            chunk: self.option(Self::number),
            definition_sha256: self.option(Self::text),
        }
    }

    pub(super) fn response(&mut self) -> Response {
        match self.byte() % 3 {
            0 => Response::Chunk {
                command_id: self.option(Self::command_id),
                chunk: self.number(),
                rows: self.number(),
                wire_bytes: self.number(),
                wire_sha256: self.text(),
                content: self.option(Self::content),
            },
            1 => Response::Completed(self.summary()),
            _ => Response::Unsolicited {
                kinds: self.list(Self::text),
                wire_bytes: self.number(),
                wire_sha256: self.text(),
                content: self.option(Self::content),
                findings: self.list(Self::finding),
            },
        }
    }

    fn finding(&mut self) -> Finding {
        Finding {
            detector: self.text(),
            action: self.pick(FindingAction::ALL),
            count: self.number(),
        }
    }

    fn summary(&mut self) -> ResponseSummary {
        let rows = self.number();
        ResponseSummary {
            command_id: self.command_id(),
            status: self.pick(ResponseStatus::ALL),
            tag: self.option(|s| s.pick(&["SELECT 1", "", "DELETE", "odd\0tag"]).to_owned()),
            sqlstate: self.option(Self::text),
            rows,
            bytes: self.number(),
            sha256: self.text(),
            columns: self.list(|s| OutputColumn {
                name: s.text(),
                type_oid: s.bits() as u32,
                origin: s.option(Self::column),
                mask: s.option(Self::text),
                labels: s.list(Self::text),
            }),
            masked_values: self.number(),
            recording: self.pick(&[Recording::Full, Recording::Head(rows), Recording::Digest]),
            chunks: self.number(),
            wire_bytes: self.number(),
            wire_sha256: self.text(),
            content: self.option(Self::content),
            duration_us: self.number(),
            findings: self.list(Self::finding),
        }
    }

    pub(super) fn approval(&mut self) -> Approval {
        let approval_id = self.approval_id();
        match self.byte() % 7 {
            0 => Approval::Expired { approval_id },
            1 => Approval::Requested(Box::new(self.approval_request())),
            2 => Approval::Granted {
                approval_id,
                reviewer: self.principal(),
                comment: self.option(Self::text),
                webhook: self.option(Self::text),
            },
            3 => Approval::Denied {
                approval_id,
                reviewer: self.principal(),
                comment: self.option(Self::text),
                webhook: self.option(Self::text),
            },
            4 => Approval::Withdrawn { approval_id, cause: self.text() },
            5 => Approval::Notified { approval_id, webhook: self.text(), step: self.text() },
            _ => Approval::Used { approval_id, command_id: self.command_id(), digest: self.text() },
        }
    }

    fn approval_id(&mut self) -> ApprovalId {
        ApprovalId::from_uuid(self.uuid())
    }

    fn approval_request(&mut self) -> ApprovalRequest {
        ApprovalRequest {
            approval_id: self.approval_id(),
            digest: self.text(),
            session_bound: self.bool(),
            scope: self.pick(ApprovalScope::ALL),
            requirements: self
                .list(|it| ApprovalRequirement { group: it.text(), quorum: it.bits() as u32 }),
            policy_ids: self.list(Self::text),
            policy_version: self.text(),
            reasons: self.list(Self::text),
            asked: self.asked(),
            expires_at: self.time(),
        }
    }

    fn asked(&mut self) -> Asked {
        match self.byte() % 2 {
            0 => Asked::Command(Box::new(self.asked_command())),
            _ => Asked::Access(AskedAccess { seconds: self.number(), reason: self.text() }),
        }
    }

    pub(super) fn revocation(&mut self) -> Revocation {
        let revocation_id = RevocationId::from_uuid(self.uuid());
        match self.byte() % 3 {
            0 => Revocation::Revoked(Box::new(self.order(revocation_id))),
            1 => Revocation::Carried(Box::new(self.order(revocation_id))),
            _ => Revocation::Lifted { revocation_id, reason: self.text() },
        }
    }

    fn order(&mut self, revocation_id: RevocationId) -> RevocationOrder {
        let revoked = match self.byte() % 5 {
            0 => Revoked::Session { session_id: SessionId::from_uuid(self.uuid()) },
            1 => Revoked::Principal { issuer: self.text(), subject: self.text() },
            2 => Revoked::Agent { issuer: self.option(Self::text), subject: self.text() },
            3 => Revoked::Issuer { issuer: self.text() },
            _ => Revoked::Grant { grant_id: self.approval_id() },
        };
        RevocationOrder {
            revocation_id,
            revoked,
            reason: self.text(),
            until: self.option(Self::time),
        }
    }

    fn asked_command(&mut self) -> AskedCommand {
        AskedCommand {
            command_id: self.command_id(),
            statement: self.text(),
            parameters: self.list(Self::parameter),
            kinds: self.list(|s| s.pick(StatementKind::ALL)),
            tables: self.list(|s| ObjectRef { schema: s.option(Self::text), name: s.text() }),
            columns: self.list(Self::column),
            functions: self.list(Self::text),
            labels: self.list(Self::text),
            read_only: self.bool(),
            opaque: self.bool(),
            has_where: self.bool(),
            by_key: self.bool(),
            estimated_rows: self.option(Self::number),
        }
    }

    pub(super) fn policy(&mut self) -> PolicyChange {
        let kind = self.pick(PolicyKind::ALL);
        match self.byte() % 3 {
            0 => PolicyChange::Loaded {
                kind,
                version: self.text(),
                previous: self.option(Self::text),
                source: self.text(),
            },
            1 => PolicyChange::Rejected {
                kind,
                kept: self.text(),
                source: self.text(),
                error: self.text(),
            },
            _ => PolicyChange::ToolDefinition {
                server: self.text(),
                tool: self.text(),
                state: self.pick(DefinitionState::ALL),
                sha256: self.option(Self::text),
                previous: self.option(Self::text),
                reason: self.option(Self::text),
            },
        }
    }

    pub(super) fn query(&mut self) -> Query {
        let phase = match self.byte() % 4 {
            0 => QueryPhase::Started,
            1 => QueryPhase::Completed { rows: self.number(), duration_us: self.number() },
            2 => QueryPhase::Denied { reason: self.text() },
            _ => QueryPhase::Failed { error: self.text() },
        };
        Query {
            query_id: self.command_id(),
            face: self.pick(Face::ALL),
            phase,
            sql: self.text(),
            relations: self.list(Self::text),
            snapshot_version: self.option(Self::number),
        }
    }
}
