//! Rows to Parquet files. The same properties hold for every file of a table, whoever writes it.

use deltalake::parquet::basic::{Compression, ZstdLevel};
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use deltalake::parquet::schema::types::ColumnPath;

use super::definition::TableDefinition;

/// Rows after which a row group ends: the unit that a reader reads or skips.
const ROW_GROUP_ROWS: usize = 131_072;

/// Rows after which a page ends.
const PAGE_ROWS: usize = 20_000;

const ZSTD_LEVEL: i32 = 3;

/// How every Parquet file of a table is written. Rewriting a file without them would drop its bloom filters.
pub(crate) fn writer_properties(table: &TableDefinition) -> WriterProperties {
    let zstd = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("tallyport ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(zstd))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS);
    for name in table.bloom_filters {
        properties = properties.set_column_bloom_filter_enabled(ColumnPath::from(*name), true);
    }
    for name in table.opaque {
        properties = properties
            .set_column_statistics_enabled(ColumnPath::from(*name), EnabledStatistics::None)
            .set_column_dictionary_enabled(ColumnPath::from(*name), false);
    }
    properties.build()
}
