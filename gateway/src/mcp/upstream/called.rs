//! A call of a tool, as policy and its server get it.

use std::sync::Arc;

use gateway_core::mcp::{Era, RpcError, reply};
use gateway_core::passage::call::Request;
use gateway_core::verdict::ServerQuestion;
use serde_json::{Map, Value, json};
use tallyport_access::policy::CallArguments;
use tallyport_schemas::{CommandId, Phase};

use super::definitions::{Definition, Look};
use super::question::{Admitted, Allowed, Wanted};
use super::request;

/// What of its parameters is passed on; nobody decides about what nobody knows.
const PASSED: [&str; 4] = ["name", "arguments", "inputResponses", "requestState"];

/// One call.
pub(super) struct Called {
    pub(super) definition: Arc<Definition>,
    params: Map<String, Value>,
    arguments: Arc<CallArguments>,
    statement: String,
}

impl Called {
    /// Of what a client sent; the tool is unknown where it may not be used.
    pub(super) fn of(
        admitted: &Admitted,
        look: &Look,
        sent: &Map<String, Value>,
    ) -> Result<Self, RpcError> {
        let name = sent.get("name").and_then(Value::as_str);
        let name =
            name.ok_or_else(|| RpcError::invalid_params("send params.name: the name of a tool"))?;
        let definition = look.tool(&admitted.inner, &admitted.upstream, name);
        let definition = definition.ok_or_else(|| RpcError::unknown_tool(name))?;
        let mut params: Map<String, Value> = PASSED
            .into_iter()
            .filter_map(|member| Some((member.to_owned(), sent.get(member)?.clone())))
            .collect();
        let arguments = match params.entry("arguments").or_insert_with(|| json!({})) {
            Value::Object(arguments) => CallArguments::of(arguments),
            _ => {
                return Err(RpcError::invalid_params(
                    "send params.arguments as an object, or leave it out",
                ));
            }
        };
        let arguments = arguments.map_err(|error| RpcError::invalid_params(error.to_string()))?;
        let statement = request::statement("tools/call", &params)?;
        Ok(Self { definition, params, arguments: Arc::new(arguments), statement })
    }

    /// Its parameters, with what the client said in `_meta`.
    pub(super) fn with_meta(&self, sent: &Map<String, Value>) -> Map<String, Value> {
        let meta = sent.get("_meta").map(|meta| ("_meta".to_owned(), meta.clone()));
        self.params.clone().into_iter().chain(meta).collect()
    }

    /// The fields that repeat its arguments.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let schema = self.definition.defined.get("inputSchema");
        let arguments = self.params.get("arguments").and_then(Value::as_object);
        schema
            .zip(arguments)
            .map(|(schema, arguments)| request::argument_fields(schema, arguments))
            .unwrap_or_default()
    }

    /// Asks policy, and puts it on record with the exact message.
    pub(super) async fn decide(
        &self,
        admitted: &Admitted,
        command_id: CommandId,
        message: Value,
    ) -> Result<Allowed, RpcError> {
        let request = Request {
            command_id,
            phase: Phase::Call,
            statement: self.statement.clone(),
            definition_sha256: Some(self.definition.sha256.clone()),
            message,
        };
        let question = ServerQuestion::Call(&self.definition.facts);
        let arguments = Some(Arc::clone(&self.arguments));
        admitted.decide(Wanted { question, arguments, request }).await
    }
}

/// A refusal, as a model reads it.
pub(super) fn refused(era: Era, error: &RpcError) -> Map<String, Value> {
    let structured = json!({ "error": { "code": "refused", "message": error.message() } });
    reply::called(era, structured, error.message().to_owned(), true)
}
