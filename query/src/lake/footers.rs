//! What a file says of its columns and of their pages, read together and kept together.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::Result as ParquetResult;
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;

use crate::engine::METADATA_CACHE_BYTES;

/// The engine's readers, whose footers are kept. The engine asks for a footer without the index of its pages, and reads that
/// anew, past what is kept, for each question that wants it; here both are there from the first question on. They lie side
/// by side at the end of a file and come with one read.
#[derive(Debug)]
pub(super) struct WholeFooters {
    files: CachedParquetFileReaderFactory,
    whole: bool,
}

/// What footer and index of a file take at most, in bytes: so much each, and so much more for each row.
const KEPT_BYTES_A_FILE: u64 = 64 * 1024;
const KEPT_BYTES_A_ROW: u64 = 3;

impl WholeFooters {
    /// Of a lake of so many files and rows. Where the indexes of all would drive each other and the footers out, footers
    /// alone are kept, as the engine does.
    pub(super) const fn of(readers: CachedParquetFileReaderFactory, files: u64, rows: u64) -> Self {
        let rows = rows.saturating_mul(KEPT_BYTES_A_ROW);
        let all = files.saturating_mul(KEPT_BYTES_A_FILE).saturating_add(rows);
        Self { files: readers, whole: all <= METADATA_CACHE_BYTES as u64 }
    }
}

impl ParquetFileReaderFactory for WholeFooters {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let reader =
            self.files.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(if self.whole { Box::new(WholeFooter(reader)) } else { reader })
    }
}

/// One file.
struct WholeFooter(Box<dyn AsyncFileReader + Send>);

impl AsyncFileReader for WholeFooter {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.0.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.0.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let options = options.cloned().unwrap_or_default();
        let whole = options.with_page_index_policy(PageIndexPolicy::Optional);
        Box::pin(async move { self.0.get_metadata(Some(&whole)).await })
    }
}

impl fmt::Debug for WholeFooter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeFooter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, RecordBatch};
    use datafusion::execution::cache::cache_manager::CacheManager;
    use datafusion::execution::cache::cache_manager::CacheManagerConfig;
    use datafusion::object_store::memory::InMemory;
    use datafusion::object_store::path::Path;
    use datafusion::object_store::{ObjectStore, ObjectStoreExt as _};
    use datafusion::parquet::arrow::ArrowWriter;

    use super::*;

    #[tokio::test]
    async fn the_index_of_pages_is_there_unasked_and_kept() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        let _footer = writer.close().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("one.parquet");
        let _put = store.put(&path, bytes.into()).await.unwrap();
        let file = PartitionedFile::new_from_meta(store.head(&path).await.unwrap());
        let caches = CacheManager::try_new(&CacheManagerConfig::default()).unwrap();
        let kept = caches.get_file_metadata_cache();
        let files = || CachedParquetFileReaderFactory::new(Arc::clone(&store), Arc::clone(&kept));
        let whole = WholeFooters::of(files(), 10, 1_000_000);
        let metrics = ExecutionPlanMetricsSet::new();
        let as_engine = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Skip);
        for (count, rows) in [(10, 1_000_000_000), (1_000_000, 1_000_000)] {
            let many = WholeFooters::of(files(), count, rows);
            let mut reader = many.create_reader(0, file.clone(), None, &metrics).unwrap();
            let footer = reader.get_metadata(Some(&as_engine)).await.unwrap();
            assert!(footer.column_index().is_none(), "of so many not all can be kept");
        }
        for options in [Some(&as_engine), None] {
            let mut reader = whole.create_reader(0, file.clone(), None, &metrics).unwrap();
            let footer = reader.get_metadata(options).await.unwrap();
            assert!(footer.column_index().is_some() && footer.offset_index().is_some());
        }
        // What is kept has it: nobody reads it again, not even when the file is gone.
        store.delete(&path).await.unwrap();
        let mut reader = whole.create_reader(0, file, None, &metrics).unwrap();
        let footer = reader.get_metadata(Some(&as_engine)).await.unwrap();
        assert!(footer.column_index().is_some());
    }
}
