//! Rows to Parquet files. The same properties hold for every file of a table, whoever writes it.

use deltalake::parquet::basic::{Compression, Encoding, ZstdLevel};
use deltalake::parquet::file::metadata::{KeyValue, ParquetMetaData};
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use deltalake::parquet::schema::types::ColumnPath;

use super::definition::TableDefinition;

/// Rows after which a row group ends: the unit that a reader reads or skips.
const ROW_GROUP_ROWS: usize = 131_072;

/// Rows after which a page ends.
const PAGE_ROWS: usize = 5_000;

const ZSTD_LEVEL: i32 = 3;

/// A file says under this key in which order its rows are. Whoever rewrites it otherwise leaves it out.
const SORTED_BY: &str = "tallyport.sortedBy";

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
    for name in table.dense {
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from(*name), false)
            .set_column_encoding(ColumnPath::from(*name), Encoding::DELTA_BINARY_PACKED);
    }
    if !table.sorted_by.is_empty() {
        let order = KeyValue::new(SORTED_BY.to_owned(), table.sorted_by.join(","));
        properties = properties.set_key_value_metadata(Some(vec![order]));
    }
    properties.build()
}

/// Whether a file of `table` says that its rows are in the table's order.
pub(crate) fn is_sorted(file: &ParquetMetaData, table: &TableDefinition) -> bool {
    let said = file.file_metadata().key_value_metadata().into_iter().flatten();
    let order = table.sorted_by.join(",");
    said.filter(|said| said.key == SORTED_BY).any(|said| said.value.as_ref() == Some(&order))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use bytes::Bytes;
    use deltalake::parquet::arrow::ArrowWriter;
    use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use deltalake::parquet::file::metadata::ColumnChunkMetaData;

    use super::*;

    /// Differences of a few bits where a number has 64, and no dictionary of numbers that nobody shares.
    #[test]
    fn dense_numbers_are_kept_as_differences() {
        const ROWS: i64 = 50_000;
        let numbers: ArrayRef =
            Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row * 7 + (row * row) % 64)));
        let family: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| "command")));
        let columns =
            [("log_offset", Arc::clone(&numbers)), ("session_seq", numbers), ("family", family)];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let mut file = Vec::new();
        let properties = writer_properties(&TableDefinition::events());
        let mut writer = ArrowWriter::try_new(&mut file, rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        let written = writer.close().unwrap();
        let [dense, sparse, texts] = written.row_group(0).columns() else { panic!("columns") };
        let as_differences = |column: &ColumnChunkMetaData| {
            column.encodings().any(|one| one == Encoding::DELTA_BINARY_PACKED)
        };
        assert!(as_differences(dense) && dense.dictionary_page_offset().is_none());
        assert!(!as_differences(sparse) && texts.dictionary_page_offset().is_some());
        assert!(dense.compressed_size() * 3 < sparse.compressed_size());
        let read = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
        let read: Vec<RecordBatch> = read.build().unwrap().map(Result::unwrap).collect();
        assert_eq!(arrow::compute::concat_batches(&rows.schema(), &read).unwrap(), rows);
    }
}
