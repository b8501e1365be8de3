//! What goes to a client can be read by nobody before it is on record: so it is read there.

use gateway_core::http::Shown;
use gateway_core::mcp::Screened;
use gateway_core::passage::Scribe;
use gateway_core::passage::call::Answered;
use gateway_core::passage::request::Answering;
use tallyport_eventlog::Auditable as _;
use tallyport_schemas::{Body, CommandId, Context, Draft, Recording, Response, SharedContext};

/// The bytes of a part of an answer.
pub(super) fn shown(part: Shown) -> Vec<u8> {
    let mut scribe = Scribe::new(SharedContext::from(Context::default()));
    let mut answering = Answering::new(CommandId::new(), Recording::Full);
    bytes(answering.part(part, &mut scribe).expect("it can be recorded").take_drafts())
}

/// The text of a message.
pub(super) fn said(screened: Screened) -> Vec<u8> {
    let context = SharedContext::from(Context::default());
    let (command_id, recording) = (CommandId::new(), Recording::Full);
    let answered = Answered { context: &context, command_id, recording, duration_us: 0 };
    bytes(answered.reply(screened).expect("it can be recorded").take_drafts())
}

fn bytes(drafts: Vec<Draft>) -> Vec<u8> {
    let content = |draft: Draft| match draft.body {
        Body::Response(event) => match *event {
            Response::Chunk { content, .. } => content,
            Response::Completed(summary) => summary.content,
            other => panic!("no such event belongs to an answer: {other:?}"),
        },
        other => panic!("no such event belongs to an answer: {other:?}"),
    };
    let all = drafts.into_iter().filter_map(content);
    all.flat_map(|it| it.replay().expect("it is as it was")).collect()
}
