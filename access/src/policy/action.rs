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
    /// Use an HTTP service at all.
    HttpConnect,
    /// Send a request by a route.
    HttpRequest,
    /// Use a cluster at all.
    KubeConnect,
    /// See what a cluster offers.
    KubeDiscover,
    /// Read an object.
    KubeGet,
    /// Read objects.
    KubeList,
    /// Follow objects.
    KubeWatch,
    /// Make an object.
    KubeCreate,
    /// Replace an object.
    KubeUpdate,
    /// Change an object.
    KubePatch,
    /// Remove an object.
    KubeDelete,
    /// Remove objects.
    KubeDeleteCollection,
    /// Read what a container printed.
    KubeLogs,
    /// Run a program in a container.
    KubeExec,
    /// Have a terminal in a container.
    KubeTty,
    /// Be attached to what runs in a container.
    KubeAttach,
    /// Be connected to a port of a pod.
    KubePortForward,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 47] = [
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
        Self::HttpConnect,
        Self::HttpRequest,
        Self::KubeConnect,
        Self::KubeDiscover,
        Self::KubeGet,
        Self::KubeList,
        Self::KubeWatch,
        Self::KubeCreate,
        Self::KubeUpdate,
        Self::KubePatch,
        Self::KubeDelete,
        Self::KubeDeleteCollection,
        Self::KubeLogs,
        Self::KubeExec,
        Self::KubeTty,
        Self::KubeAttach,
        Self::KubePortForward,
    ];

    /// Whether what asks for it is a statement, a call of a tool or a request, which can wait for an approval.
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
                | Self::HttpConnect
                | Self::KubeConnect
                | Self::KubeDiscover
        )
    }

    /// Whether it opens a target for somebody, for which policy can demand a grant.
    pub(super) const fn opens(self) -> bool {
        matches!(self, Self::Connect | Self::McpConnect | Self::HttpConnect | Self::KubeConnect)
    }

    /// Whether what it allows may have rows.
    pub(super) fn has_rows(self) -> bool {
        !["mcp:", "http:", "k8s:"].iter().any(|of| self.as_str().starts_with(of))
    }

    /// Whether it gives a way through which what passes is bytes, and no more is known of it.
    #[must_use]
    pub const fn is_interactive(self) -> bool {
        matches!(self, Self::KubeTty | Self::KubeAttach | Self::KubePortForward)
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
            Self::HttpConnect => "http:connect",
            Self::HttpRequest => "http:request",
            Self::KubeConnect => "k8s:connect",
            Self::KubeDiscover => "k8s:discover",
            Self::KubeGet => "k8s:get",
            Self::KubeList => "k8s:list",
            Self::KubeWatch => "k8s:watch",
            Self::KubeCreate => "k8s:create",
            Self::KubeUpdate => "k8s:update",
            Self::KubePatch => "k8s:patch",
            Self::KubeDelete => "k8s:delete",
            Self::KubeDeleteCollection => "k8s:deleteCollection",
            Self::KubeLogs => "k8s:logs",
            Self::KubeExec => "k8s:exec",
            Self::KubeTty => "k8s:tty",
            Self::KubeAttach => "k8s:attach",
            Self::KubePortForward => "k8s:portForward",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
