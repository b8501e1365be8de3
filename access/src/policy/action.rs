//! What may be asked for.

use std::fmt;

/// An action of the Cedar schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Open a session.
    Connect,
    /// Read rows.
    Select,
    /// Add rows.
    Insert,
    /// Change rows.
    Update,
    /// Remove rows.
    Delete,
    /// `MERGE`.
    Merge,
    /// `COPY ... FROM`.
    CopyIn,
    /// `COPY ... TO`.
    CopyOut,
    /// `TRUNCATE`.
    Truncate,
    /// Change the schema or who may use it.
    Ddl,
    /// `SET`, `RESET`, `DISCARD`.
    Set,
    /// `SHOW`.
    Show,
    /// Transaction control, cursors and prepared statements.
    Transaction,
    /// Read the system catalogs.
    Catalog,
    /// `CALL`, `DO`: code whose effect cannot be seen.
    Call,
    /// `VACUUM`, `ANALYZE` and their like.
    Maintenance,
    /// `LISTEN`, `NOTIFY`, `UNLISTEN`.
    Notify,
    /// `LOCK`.
    Lock,
    /// Call a function.
    FnCall,
    /// Read a column in clear text.
    ColRead,
    /// Read a column masked.
    ColReadMasked,
    /// Ask the audit.
    AuditQuery,
    /// Read the exact bytes of recorded events.
    AuditRaw,
    /// End access before its time.
    Revoke,
    /// Lift a revocation.
    Restore,
    /// Use an MCP server at all.
    McpConnect,
    /// Call a tool.
    McpCall,
    /// Read a resource of an MCP server.
    McpRead,
    /// Get a prompt of an MCP server.
    McpPrompt,
    /// See how the tools of an MCP server stand to their pins, and accept another definition.
    McpAccept,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 30] = [
        Self::Connect,
        Self::Select,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Merge,
        Self::CopyIn,
        Self::CopyOut,
        Self::Truncate,
        Self::Ddl,
        Self::Set,
        Self::Show,
        Self::Transaction,
        Self::Catalog,
        Self::Call,
        Self::Maintenance,
        Self::Notify,
        Self::Lock,
        Self::FnCall,
        Self::ColRead,
        Self::ColReadMasked,
        Self::AuditQuery,
        Self::AuditRaw,
        Self::Revoke,
        Self::Restore,
        Self::McpConnect,
        Self::McpCall,
        Self::McpRead,
        Self::McpPrompt,
        Self::McpAccept,
    ];

    /// Whether what asks for it is a statement or a call of a tool, which can wait for an approval.
    pub(super) const fn can_wait(self) -> bool {
        !matches!(
            self,
            Self::Connect
                | Self::ColRead
                | Self::ColReadMasked
                | Self::AuditQuery
                | Self::AuditRaw
                | Self::Revoke
                | Self::Restore
                | Self::McpConnect
                | Self::McpRead
                | Self::McpPrompt
                | Self::McpAccept
        )
    }

    /// Whether it opens a target for somebody, for which policy can demand a grant.
    pub(super) const fn opens(self) -> bool {
        matches!(self, Self::Connect | Self::McpConnect)
    }

    /// Whether it is asked on an MCP server.
    pub(super) const fn is_mcp(self) -> bool {
        matches!(
            self,
            Self::McpConnect | Self::McpCall | Self::McpRead | Self::McpPrompt | Self::McpAccept
        )
    }

    /// The action of this id.
    pub(super) fn named(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == id)
    }

    /// The id in policies, such as `sql:select`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "sql:connect",
            Self::Select => "sql:select",
            Self::Insert => "sql:insert",
            Self::Update => "sql:update",
            Self::Delete => "sql:delete",
            Self::Merge => "sql:merge",
            Self::CopyIn => "sql:copyIn",
            Self::CopyOut => "sql:copyOut",
            Self::Truncate => "sql:truncate",
            Self::Ddl => "sql:ddl",
            Self::Set => "sql:set",
            Self::Show => "sql:show",
            Self::Transaction => "sql:transaction",
            Self::Catalog => "sql:catalog",
            Self::Call => "sql:call",
            Self::Maintenance => "sql:maintenance",
            Self::Notify => "sql:notify",
            Self::Lock => "sql:lock",
            Self::FnCall => "fn:call",
            Self::ColRead => "col:read",
            Self::ColReadMasked => "col:readMasked",
            Self::AuditQuery => "audit:query",
            Self::AuditRaw => "audit:raw",
            Self::Revoke => "access:revoke",
            Self::Restore => "access:restore",
            Self::McpConnect => "mcp:connect",
            Self::McpCall => "mcp:call",
            Self::McpRead => "mcp:read",
            Self::McpPrompt => "mcp:prompt",
            Self::McpAccept => "mcp:accept",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
