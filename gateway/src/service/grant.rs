//! The grant that lets somebody in.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tallyport_access::policy::GrantDemand;
use tallyport_schemas::Context;

use super::inner::Inner;
use crate::session::SessionGrant;

impl Inner {
    /// The grant of whoever `context` names, for its target, that is what policy demands now and lasts longest; and until
    /// when.
    pub(crate) fn grant_for(
        &self,
        context: &Context,
        demand: &GrantDemand,
    ) -> Option<(SessionGrant, Timestamp)> {
        let now = Timestamp::now();
        let book = self.control.book();
        let all = book.grants(context, now).filter_map(|case| {
            let request = case.request();
            let period = Duration::from_secs(request.asked.access()?.seconds);
            let given = Arc::new(GrantDemand::given(&request.requirements, period));
            let grant = SessionGrant { grant_id: request.approval_id, given };
            demand.is_met_by(&grant.given).then(|| (grant, case.stands_until()))
        });
        all.max_by_key(|(_, until)| *until)
    }
}
