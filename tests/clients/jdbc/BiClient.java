import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.time.Instant;
import java.util.Properties;

/**
 * What BI tools on JDBC ask a server, of the audit: the driver's metadata, then their own catalog queries, then panels. Prints a line
 * for each. Arguments: HOST PORT; the token is in the environment.
 */
public class BiClient {
    interface Step { Object run() throws Exception; }

    static void show(String step, Step what) {
        try {
            System.out.println(step + ": " + what.run());
        } catch (Exception error) {
            System.out.println(step + ": FAILED " + error);
        }
    }

    static String all(ResultSet result, String... columns) throws SQLException {
        StringBuilder text = new StringBuilder();
        int rows = 0;
        try (result) {
            while (result.next()) {
                rows++;
                if (rows > 400) continue;
                for (String column : columns) text.append(result.getString(column)).append(' ');
                text.append("| ");
            }
        }
        return rows + " rows " + text;
    }

    static String query(Connection c, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = c.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
            StringBuilder text = new StringBuilder();
            int rows = 0;
            try (ResultSet result = statement.executeQuery()) {
                ResultSetMetaData meta = result.getMetaData();
                while (result.next()) {
                    rows++;
                    if (rows > 5) continue;
                    for (int i = 1; i <= meta.getColumnCount(); i++) text.append(meta.getColumnLabel(i)).append('=').append(result.getObject(i)).append(' ');
                    text.append("| ");
                }
            }
            return rows + " rows " + text;
        }
    }

    public static void main(String[] arguments) throws Exception {
        Properties options = new Properties();
        options.setProperty("user", "bi");
        options.setProperty("password", System.getenv("TALLYPORT_TOKEN"));
        options.setProperty("ApplicationName", "BI");
        String url = "jdbc:postgresql://" + arguments[0] + ":" + arguments[1] + "/tallyport";
        try (Connection c = DriverManager.getConnection(url, options)) {
            DatabaseMetaData m = c.getMetaData();
            show("product", () -> m.getDatabaseProductName() + " " + m.getDatabaseProductVersion() + " " + m.getDatabaseMajorVersion());
            show("valid", () -> c.isValid(5));
            show("catalog", c::getCatalog);
            show("schema", c::getSchema);
            show("isolation", c::getTransactionIsolation);
            show("read only", () -> { c.setReadOnly(true); return c.isReadOnly(); });
            show("catalogs", () -> all(m.getCatalogs(), "TABLE_CAT"));
            show("schemas", () -> all(m.getSchemas(), "TABLE_SCHEM"));
            show("table types", () -> all(m.getTableTypes(), "TABLE_TYPE"));
            show("tables", () -> all(m.getTables(null, "public", "%", new String[] {"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE", "PARTITIONED TABLE"}), "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE"));
            show("all tables", () -> all(m.getTables(null, null, "%", null), "TABLE_SCHEM", "TABLE_NAME").substring(0, 60));
            show("columns", () -> all(m.getColumns(null, "public", "decisions", "%"), "COLUMN_NAME", "TYPE_NAME", "DATA_TYPE", "NULLABLE"));
            show("all columns", () -> all(m.getColumns(null, "public", "%", "%"), "COLUMN_NAME").substring(0, 30));
            show("primary keys", () -> all(m.getPrimaryKeys(null, "public", "decisions"), "COLUMN_NAME"));
            show("imported keys", () -> all(m.getImportedKeys(null, "public", "decisions"), "FKCOLUMN_NAME"));
            show("exported keys", () -> all(m.getExportedKeys(null, "public", "decisions"), "FKCOLUMN_NAME"));
            show("indexes", () -> all(m.getIndexInfo(null, "public", "decisions", false, false), "INDEX_NAME"));
            show("keywords", () -> m.getSQLKeywords().length() > 0);
            show("max name", m::getMaxColumnNameLength);
            show("client info", () -> c.getClientInfo("ApplicationName"));

            show("count", () -> query(c, "SELECT count(*) AS n FROM events"));
            show("panel", () -> query(c, "SELECT date_trunc('hour', time) AS time, effect AS metric, count(*) AS decisions FROM decisions WHERE time >= now() - interval '1 day' GROUP BY 1, 2 ORDER BY 1"));
            show("parameters", () -> query(c, "SELECT time, reason, effect FROM decisions WHERE time >= ? AND effect = ? LIMIT 2", Timestamp.from(Instant.EPOCH), "allow"));
            show("quoted", () -> query(c, "SELECT \"public\".\"decisions\".\"effect\" AS \"effect\", COUNT(*) AS \"count\" FROM \"public\".\"decisions\" GROUP BY \"public\".\"decisions\".\"effect\" ORDER BY \"public\".\"decisions\".\"effect\" ASC"));
            show("metabase bucket", () -> query(c, "SELECT CAST(DATE_TRUNC('day', \"public\".\"decisions\".\"time\") AS DATE) AS \"time\", COUNT(*) AS \"count\" FROM \"public\".\"decisions\" WHERE \"public\".\"decisions\".\"time\" >= DATE_TRUNC('day', (NOW() + INTERVAL '-30 day')) AND \"public\".\"decisions\".\"time\" < DATE_TRUNC('day', NOW() + INTERVAL '1 day') GROUP BY CAST(DATE_TRUNC('day', \"public\".\"decisions\".\"time\") AS DATE) ORDER BY CAST(DATE_TRUNC('day', \"public\".\"decisions\".\"time\") AS DATE) ASC"));
            show("metabase sample", () -> query(c, "SELECT \"source\".\"substring1\" AS \"substring1\" FROM (SELECT SUBSTRING(\"public\".\"commands\".\"statement\", 1, 1234) AS \"substring1\" FROM \"public\".\"commands\" LIMIT 10000) AS \"source\" LIMIT 3"));
            show("fingerprint", () -> query(c, "SELECT * FROM public.sessions LIMIT 2"));
            show("cursor", () -> {
                c.setAutoCommit(false);
                int rows = 0;
                try (Statement s = c.createStatement()) {
                    s.setFetchSize(2);
                    try (ResultSet result = s.executeQuery("SELECT event_id FROM events LIMIT 7")) {
                        while (result.next()) rows++;
                    }
                }
                c.commit();
                c.setAutoCommit(true);
                return rows;
            });
            show("max rows", () -> {
                try (Statement s = c.createStatement()) {
                    s.setMaxRows(3);
                    int rows = 0;
                    try (ResultSet result = s.executeQuery("SELECT event_id FROM events")) { while (result.next()) rows++; }
                    return rows;
                }
            });
            show("time zone", () -> query(c, "SHOW TIMEZONE"));
            show("set zone", () -> { try (Statement s = c.createStatement()) { s.execute("SET SESSION TIMEZONE TO 'UTC'"); } return "ok"; });
            // DBeaver, as it opens a connection and its navigator.
            for (String sql : new String[] {
                "SELECT current_schema(),session_user",
                "SHOW search_path",
                "SELECT version()",
                "select * from pg_catalog.pg_settings where name='standard_conforming_strings'",
                "select string_agg(word, ',') from pg_catalog.pg_get_keywords() where word <> ALL ('{a,abs}'::text[])",
                "SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE datallowconn AND NOT datistemplate OR db.datname='tallyport' ORDER BY db.datname",
                "SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass ORDER BY nspname",
                "SELECT c.oid,c.*,d.description,pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr,  pg_catalog.pg_get_partkeydef(c.oid) as partition_key FROM pg_catalog.pg_class c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND d.classoid='pg_class'::regclass WHERE c.relnamespace=(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname='public') AND c.relkind not in ('i','I','c')",
                "SELECT c.relname,a.*,pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value,dsc.description,dep.objid FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid) LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum) LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid) LEFT OUTER JOIN pg_depend dep on dep.refobjid = a.attrelid AND dep.deptype = 'i' and dep.refobjsubid = a.attnum and dep.classid = dep.refclassid WHERE NOT a.attisdropped AND c.relkind not in ('i','I','c') AND c.relname='decisions' ORDER BY a.attnum",
                "SELECT t.oid,t.*,c.relkind,format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name, d.description FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid=t.typelem LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid=t.typrelid LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid=d.objoid WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C')",
                "SELECT i.*,i.indkey as keys,c.relname,c.relnamespace,c.relam,c.reltablespace,tc.relname as tabrelname,dsc.description FROM pg_catalog.pg_index i INNER JOIN pg_catalog.pg_class c ON c.oid=i.indexrelid INNER JOIN pg_catalog.pg_class tc ON tc.oid=i.indrelid LEFT OUTER JOIN pg_catalog.pg_description dsc ON i.indexrelid=dsc.objoid ORDER BY tabrelname, c.relname",
                "SELECT c.oid,c.*,t.relname as tabrelname,rt.relnamespace as refnamespace,d.description FROM pg_catalog.pg_constraint c INNER JOIN pg_catalog.pg_class t ON t.oid=c.conrelid LEFT OUTER JOIN pg_catalog.pg_class rt ON rt.oid=c.confrelid LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid ORDER BY c.oid",
                "SELECT x.* FROM public.decisions x LIMIT 2",
                "select count(*) from (SELECT x.* FROM public.decisions x) dbvrcnt",
                // Grafana: health and its editor.
                "SELECT 1",
                "SELECT current_setting('server_version_num')::int/100 as version",
                "select quote_ident(column_name) as \"column\", data_type from information_schema.columns where quote_ident(table_name) = 'decisions'",
                "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'decisions' ORDER BY ordinal_position",
                "SELECT extract(epoch from time) AS \"time\", count(*) AS n FROM decisions WHERE time BETWEEN '2020-01-01T00:00:00Z' AND '2030-01-01T00:00:00Z' GROUP BY 1 ORDER BY 1 LIMIT 1",
                "SELECT floor(extract(epoch from time)/3600)*3600 AS \"time\", count(*) AS n FROM decisions WHERE time BETWEEN '2020-01-01T00:00:00Z' AND '2030-01-01T00:00:00Z' GROUP BY 1 ORDER BY 1",
                // Metabase: privileges and fields.
                "SELECT has_table_privilege('public.decisions', 'SELECT')",
                "select has_schema_privilege('public','USAGE')",
                "SELECT nspname, relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE has_table_privilege(c.oid, 'SELECT') AND n.nspname = 'public' ORDER BY 2 LIMIT 3",
                "SELECT n.nspname AS schema, c.relname AS name, CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' END AS type, d.description AS description FROM pg_catalog.pg_class AS c INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid LEFT JOIN pg_catalog.pg_description AS d ON c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass WHERE c.relnamespace = n.oid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'f', 'm') ORDER BY type, schema, name",
            }) show(sql.substring(0, Math.min(70, sql.length())), () -> query(c, sql));
        }
    }
}
