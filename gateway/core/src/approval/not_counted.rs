//! Why an event changes nothing: too late, of somebody who may not, or too many.

use tallyport_schemas::ApprovalId;

use super::case::State;

/// Why an event changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    /// There is no such request.
    #[error("there is no request with this id; list them with `tallyport approvals list`")]
    Unknown,
    /// Its id stands for a request already.
    #[error("a request has this id already")]
    Repeated,
    /// More requests are open than are kept.
    #[error("too many requests wait for an approval; try again later")]
    Full,
    /// As many requests of one principal wait as may.
    #[error(
        "{0} of your requests wait or stand already; wait for some of those, or withdraw them, first"
    )]
    TooManyOfYours(usize),
    /// The same is asked for already.
    #[error("the same is asked for already: {0}")]
    AskedAlready(ApprovalId),
    /// It is decided, or over.
    #[error("the request is {} already", .0.as_str())]
    Over(State),
    /// It is not approved yet.
    #[error("the request is not approved")]
    NotApproved,
    /// Its time is not over yet.
    #[error("the request has time left")]
    NotLapsed,
    /// Only humans review.
    #[error("only a human may answer; sign in as yourself, not as an agent or a service")]
    NotHuman,
    /// The reviewer is in none of the groups.
    #[error("you are in none of the groups that may answer: {0}")]
    NotAMember(String),
    /// The reviewer asked for it, or acts for who did.
    #[error("whoever asks may not answer: somebody else must")]
    Requester,
    /// The reviewer answers for who asked.
    #[error("the owner of who asks may not answer: somebody else must")]
    Owner,
    /// The access of the reviewer was ended.
    #[error("the access of who answers was ended; somebody else must answer")]
    ReviewerRevoked,
    /// The access of who ordered it was ended.
    #[error("your access was ended before this was on the log; it counts for nothing")]
    OrderedByRevoked,
    /// The reviewer agreed before.
    #[error("you have agreed already; somebody else must, too")]
    Twice,
    /// It is another command's.
    #[error("the approval is for something else")]
    OtherCommand,
    /// There is no such revocation.
    #[error("there is no revocation with this id; list them with `tallyport revoke list`")]
    NoRevocation,
    /// More revocations stand than are kept.
    #[error("too many revocations stand; lift some, or revoke an issuer instead of its principals")]
    TooManyRevocations,
    /// No such definition was seen of the tool, or it is in use already.
    #[error(
        "no such change of this tool is known; `tallyport mcp-servers` lists what waits to be accepted"
    )]
    NoDefinition,
    /// Another definition of the tool was pinned first.
    #[error("another definition of this tool is pinned already")]
    PinnedAlready,
    /// More tools are known than are kept.
    #[error("too many tools are known; put fewer servers behind one gateway")]
    TooManyDefinitions,
    /// More webhooks were told of it than are kept.
    #[error("more webhooks were told of it than a gateway may have")]
    TooManyWebhooks,
    /// The assertion was exchanged before.
    #[error("the assertion was exchanged before; sign in anew")]
    Exchanged,
    /// More exchanges are remembered than may be.
    #[error("more assertions came than can be remembered; try again in some minutes")]
    TooManyExchanges,
    /// It is another session's.
    #[error("the approval is for another session")]
    OtherSession,
}
