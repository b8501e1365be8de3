//! Spans that say which trace they belong to get that trace: the field `trace_id` of a span is the id that its events
//! carry, and it must be the one that a collector knows the span by.

use std::cell::Cell;
use std::fmt;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

const TRACE_ID: &str = "trace_id";
const PARENT_ID: &str = "parent_span_id";
const PARENT_SAMPLED: &str = "parent_sampled";

thread_local! {
    /// The id of the trace that the next root span of this thread begins.
    static NEXT_TRACE: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Wraps the layer that exports spans.
pub(crate) struct Adopting<L>(pub(crate) L);

/// Makes ids as the SDK does, but for traces whose id is given.
#[derive(Debug, Default)]
pub(crate) struct Ids(RandomIdGenerator);

/// On a span that begins a trace of a given id and was not entered yet.
struct Begins(TraceId);

/// What the fields of a span say.
#[derive(Default)]
struct Given {
    trace: Option<TraceId>,
    parent: Option<SpanId>,
    sampled: bool,
}

impl<L> Adopting<L> {
    fn enter<S>(&self, id: &Id, ctx: Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        L: Layer<S>,
    {
        // The SDK starts a span, and with it its trace, when it is first entered.
        let begins = ctx.span(id).and_then(|span| {
            let has_trace = span.metadata().fields().field(TRACE_ID).is_some();
            has_trace.then(|| span.extensions_mut().remove::<Begins>()).flatten()
        });
        match begins {
            None => self.0.on_enter(id, ctx),
            Some(Begins(trace)) => {
                NEXT_TRACE.set(Some(trace));
                self.0.on_enter(id, ctx);
                NEXT_TRACE.set(None);
            }
        }
    }
}

impl<S, L> Layer<S> for Adopting<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.0.on_register_dispatch(dispatch);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.0.on_layer(subscriber);
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let given = Given::of(attributes);
        let Some(trace) = given.trace else { return self.0.on_new_span(attributes, id, ctx) };
        let outside = opentelemetry::Context::new();
        let parent = match given.parent {
            Some(span) => {
                let flags = if given.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
                let caller = SpanContext::new(trace, span, flags, true, TraceState::default());
                outside.with_remote_span_context(caller)
            }
            None => outside,
        };
        let attached = parent.attach();
        self.0.on_new_span(attributes, id, ctx.clone());
        drop(attached);
        if given.parent.is_none()
            && let Some(span) = ctx.span(id)
        {
            span.extensions_mut().insert(Begins(trace));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        self.0.on_record(id, values, ctx);
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, ctx: Context<'_, S>) {
        self.0.on_follows_from(id, follows, ctx);
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        self.enter(id, ctx);
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        self.0.on_exit(id, ctx);
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        self.0.on_close(id, ctx);
    }

    fn on_id_change(&self, old: &Id, new: &Id, ctx: Context<'_, S>) {
        self.0.on_id_change(old, new, ctx);
    }
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT_TRACE.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

impl Given {
    fn of(attributes: &Attributes<'_>) -> Self {
        let mut given = Self::default();
        if attributes.metadata().fields().field(TRACE_ID).is_some() {
            attributes.record(&mut given);
        }
        given
    }
}

impl Visit for Given {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == PARENT_SAMPLED {
            self.sampled = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            TRACE_ID => self.trace = TraceId::from_hex(value).ok(),
            PARENT_ID => self.parent = SpanId::from_hex(value).ok(),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), TRACE_ID | PARENT_ID) {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}
