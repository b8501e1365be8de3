//! `max` and `min` of texts for each of many groups, in the place of the engine's.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};

use super::best::{HandsOn, OfGroups, Which, dictionary_of_texts};
use super::texts::internal;

/// `engines`, which is `max` or `min`, of texts or of dictionaries of texts.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Extreme {
    engines: Arc<AggregateUDF>,
    which: Which,
    hands_on: HandsOn,
    signature: Signature,
}

impl Extreme {
    /// `None` where `function` is neither, and no such one of ours.
    pub(super) fn of(function: &AggregateUDF, hands_on: HandsOn) -> Option<Self> {
        if let Some(ours) = function.inner().downcast_ref::<Self>() {
            let (engines, signature) = (Arc::clone(&ours.engines), ours.signature.clone());
            return Some(Self { engines, which: ours.which, hands_on, signature });
        }
        let which = if function.inner().is::<Max>() {
            Which::Greatest
        } else if function.inner().is::<Min>() {
            Which::Least
        } else {
            return None;
        };
        let signature = Signature::any(1, Volatility::Immutable);
        Some(Self { engines: Arc::new(function.clone()), which, hands_on, signature })
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.engines.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Utf8] => Ok(DataType::Utf8),
            [DataType::Dictionary(_, texts)] if **texts == DataType::Utf8 => Ok(DataType::Utf8),
            _ => Err(internal("the greatest or least of something else was asked for")),
        }
    }

    /// For all rows together there is nothing to gain, and this is not asked for them.
    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.engines.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let fields = self.engines.state_fields(args)?;
        let ours = |field: FieldRef| match self.hands_on {
            HandsOn::Texts => field,
            HandsOn::Dictionaries => {
                Arc::new(Field::clone(&field).with_data_type(dictionary_of_texts()))
            }
        };
        Ok(fields.into_iter().map(ours).collect())
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(OfGroups::new(self.which, self.hands_on)))
    }

    fn is_descending(&self) -> Option<bool> {
        self.engines.is_descending()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::functions_aggregate::count::count_udaf;
    use datafusion::functions_aggregate::min_max::max_udaf;

    use super::*;

    #[test]
    fn other_functions_and_other_columns_are_not_ours() {
        assert!(Extreme::of(&count_udaf(), HandsOn::Texts).is_none());
        let greatest = Extreme::of(&max_udaf(), HandsOn::Texts).unwrap();
        assert!(greatest.return_type(&[DataType::Int32]).is_err());
        assert_eq!(greatest.return_type(&[dictionary_of_texts()]).unwrap(), DataType::Utf8);
        // Ours again, which hands on something else, and is not ours of ours.
        let again = Extreme::of(&AggregateUDF::from(greatest), HandsOn::Dictionaries).unwrap();
        assert!(again.engines.inner().is::<Max>() && again.hands_on == HandsOn::Dictionaries);
    }
}
