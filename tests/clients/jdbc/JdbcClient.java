import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Properties;
import org.postgresql.PGConnection;

/** JDBC, unchanged: prints what it saw, one line per step. Arguments: HOST PORT DATABASE USER. */
public class JdbcClient {
    static void show(String step, Object value) {
        System.out.println(step + ": " + value);
    }

    static String row(ResultSet result) throws SQLException {
        StringBuilder text = new StringBuilder();
        for (int i = 1; i <= result.getMetaData().getColumnCount(); i++) {
            text.append(result.getMetaData().getColumnLabel(i)).append('=').append(result.getString(i)).append(' ');
        }
        return text.toString();
    }

    public static void main(String[] arguments) throws Exception {
        Properties options = new Properties();
        options.setProperty("user", arguments[3]);
        options.setProperty("password", "ignored");
        options.setProperty("prepareThreshold", "2");
        String url = "jdbc:postgresql://" + arguments[0] + ":" + arguments[1] + "/" + arguments[2];
        try (Connection c = DriverManager.getConnection(url, options); Statement s = c.createStatement()) {
            DatabaseMetaData meta = c.getMetaData();
            show("server", meta.getDatabaseProductName() + " " + meta.getDatabaseProductVersion());
            s.execute("CREATE TEMP TABLE jdbc_t (id int PRIMARY KEY, v text, n numeric(10,2), a int[], at timestamptz)");
            try (PreparedStatement insert = c.prepareStatement("INSERT INTO jdbc_t (id, v, n) VALUES (?, ?, ?)")) {
                for (int i = 0; i < 200; i++) {
                    insert.setInt(1, i);
                    insert.setString(2, "naïve ✓ " + i);
                    insert.setBigDecimal(3, new java.math.BigDecimal("1.50"));
                    insert.addBatch();
                }
                show("batch", Arrays.stream(insert.executeBatch()).sum());
            }
            try (PreparedStatement select = c.prepareStatement("SELECT id, v, n FROM jdbc_t WHERE id = ?")) {
                for (int i = 0; i < 6; i++) { // becomes a named, binary statement on the way
                    select.setInt(1, i);
                    try (ResultSet result = select.executeQuery()) {
                        result.next();
                        show("prepared", row(result));
                    }
                }
            }
            try (PreparedStatement update = c.prepareStatement("UPDATE jdbc_t SET a = ? WHERE id = 1 RETURNING a")) {
                Array array = c.createArrayOf("int4", new Integer[] {1, 2, 3});
                update.setArray(1, array);
                try (ResultSet result = update.executeQuery()) {
                    result.next();
                    show("array", result.getArray(1));
                }
            }
            c.setAutoCommit(false);
            try (Statement cursor = c.createStatement()) {
                cursor.setFetchSize(7); // a portal with a row limit
                int rows = 0;
                try (ResultSet result = cursor.executeQuery("SELECT id FROM jdbc_t ORDER BY id")) {
                    while (result.next()) rows++;
                }
                show("portal rows", rows);
            }
            c.commit();
            try {
                s.execute("INSERT INTO jdbc_t VALUES (1)");
            } catch (SQLException error) {
                show("unique", error.getSQLState());
            }
            try {
                s.execute("SELECT 1");
            } catch (SQLException error) {
                show("aborted", error.getSQLState());
            }
            c.rollback();
            c.setAutoCommit(true);
            try (ResultSet result = meta.getColumns(null, null, "jdbc_t", "%")) {
                int columns = 0;
                while (result.next()) columns++;
                show("columns by metadata", columns);
            }
            try (ResultSet result = meta.getPrimaryKeys(null, null, "jdbc_t")) {
                result.next();
                show("primary key", result.getString("COLUMN_NAME"));
            }
            show("copy in", c.unwrap(PGConnection.class).getCopyAPI()
                .copyIn("COPY jdbc_t (id, v) FROM STDIN", new java.io.StringReader("1000\tcopied\n1001\t\\N\n")));
            java.io.StringWriter out = new java.io.StringWriter();
            c.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY (SELECT id, v FROM jdbc_t WHERE id >= 1000 ORDER BY id) TO STDOUT", out);
            show("copy out", out.toString().replace("\n", "|"));
            try (Statement slow = c.createStatement()) {
                slow.setQueryTimeout(1); // the driver cancels on a second connection
                slow.execute("SELECT pg_sleep(60)");
            } catch (SQLException error) {
                show("cancelled", error.getSQLState());
            }
            try (ResultSet result = s.executeQuery("SELECT count(*), sum(length(v)) FROM jdbc_t, generate_series(1, 50)")) {
                result.next();
                show("count", row(result));
            }
        }
    }
}
