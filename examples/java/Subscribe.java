import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;

/**
 * Follows a channel, with the standard library of Java 11 or later.
 *
 *     java Subscribe.java CHANNEL [POSITION or SEQ] [http://host:port of the front port]
 *
 * POSITION, EPOCH-SEQ, is that of the last message you had: Ctrl-C tells it.
 */
public class Subscribe {
    private static final int LONGEST_WAIT = 30_000; // ms
    private static final int BUSY_WAIT = 15_000; // ms, after "too many channels or subscribers"
    private static final int UNKNOWN_SILENCE = 40_000; // ms, until the server has told its heartbeat period
    private static final int CONNECT_TIMEOUT = 10_000; // ms

    /** The server would refuse the same request again. */
    static class Refused extends Exception {
        Refused(String why) {
            super(why);
        }
    }

    private final String front;
    private final String channel;
    private String epoch; // of seq; "": not known
    private long seq; // the next message wanted; 0: from now
    private int silence; // the time after which a connection that brings nothing is dead, ms; 0: not known yet
    private int failures; // in a row
    private long leastWait; // after this connection, ms

    Subscribe(String front, String channel, String epoch, long seq) {
        this.front = front;
        this.channel = channel;
        this.epoch = epoch;
        this.seq = seq;
    }

    /** Calls onMessage with each message's position and content, until the channel ends or is closed. */
    void run(BiConsumer<String, String> onMessage) throws InterruptedException, Refused {
        while (true) {
            try {
                leastWait = 0;
                if (silence == 0) {
                    silence = longestSilence();
                }
                if (!connect(onMessage)) {
                    return;
                }
            } catch (IOException | RuntimeException e) { // whatever a broken connection or answer leads to
                failures++;
                long bound = Math.min(LONGEST_WAIT, 1000L << Math.min(failures - 1, 5));
                long wait = Math.max(leastWait, bound / 2 + ThreadLocalRandom.current().nextLong(bound / 2));
                System.err.println(e.getMessage() + "; again in " + wait + " ms");
                Thread.sleep(wait);
            }
        }
    }

    /** One connection. Returns false when the channel has ended or is closed. */
    private boolean connect(BiConsumer<String, String> onMessage) throws IOException, Refused {
        String query = "cname=" + URLEncoder.encode(channel, StandardCharsets.UTF_8) + "&seq=" + seq + "&epoch=" + epoch;
        boolean told = false; // a server before 0.2 tells no position
        // The timeout is for each read: a slow message is no silence.
        HttpURLConnection connection = open("/stream?" + query, silence > 0 ? silence : UNKNOWN_SILENCE);
        try (BufferedReader lines = read(connection)) {
            if (lines == null) {
                return false;
            }
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                Map<String, String> message = parse(line);
                String type = message.get("type");
                String content = message.get("content");
                long number;
                try {
                    number = Long.parseLong(message.get("seq"));
                } catch (NumberFormatException e) {
                    throw new IOException("not a message: " + beginning(line));
                }
                if (type == null || content == null) {
                    throw new IOException("not a message: " + beginning(line));
                }
                switch (type) {
                    case "401":
                        throw new Refused(content);
                    case "429":
                        leastWait = BUSY_WAIT;
                        throw new IOException(content);
                    default:
                        failures = 0;
                }
                switch (type) {
                    case "position":
                        takePosition(message, number);
                        told = true;
                        break;
                    case "data":
                    case "broadcast":
                        epoch = told ? epoch : "";
                        seq = number + 1;
                        onMessage.accept(epoch.isEmpty() ? "" : epoch + "-" + number, content);
                        break;
                    case "next_seq":
                        if (number < seq) { // the channel is a new one
                            epoch = "";
                            seq = 1;
                            tell(-1, "the channel began anew");
                            return true;
                        }
                        seq = number;
                        break;
                    case "end":
                    case "close":
                        return false;
                    default: // a heartbeat
                }
            }
            throw new IOException("the server ended the response");
        } finally {
            connection.disconnect();
        }
    }

    /** Where the messages that follow begin, and whether some before them are missing. */
    private void takePosition(Map<String, String> message, long next) throws IOException {
        if (!String.valueOf(message.get("epoch")).matches("[0-9a-f]{8}")) {
            throw new IOException("a position without an epoch");
        }
        long lost = Long.parseLong(message.get("lost"));
        epoch = message.get("epoch");
        seq = next;
        if (!"true".equals(message.get("recovered"))) {
            tell(lost, message.get("reason"));
        }
    }

    /** Says what is missing. */
    private static void tell(long lost, String reason) {
        String what = lost >= 0 ? lost + " messages are missing" : "messages may be missing, and nobody can know how many";
        System.err.println(what + ": " + reason);
    }

    /** 1.3 times the period of the heartbeats, and at least 1.5 s longer; 0: the server does not tell. */
    private int longestSilence() {
        try (BufferedReader lines = read(open("/ping?cb=", CONNECT_TIMEOUT))) {
            int period = Integer.parseInt(parse(lines.readLine()).get("sub_timeout")); // s
            return (int) Math.min(Integer.MAX_VALUE, Math.max(period * 1300L, period * 1000L + 1500));
        } catch (IOException | RuntimeException | Refused e) { // the connection that follows will tell why
            return 0;
        }
    }

    private HttpURLConnection open(String path, int timeout) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) URI.create(front + path).toURL().openConnection();
        connection.setConnectTimeout(CONNECT_TIMEOUT);
        connection.setReadTimeout(timeout);
        connection.setUseCaches(false);
        return connection;
    }

    /** The answer, or null when there is nothing more to come. */
    private static BufferedReader read(HttpURLConnection connection) throws IOException, Refused {
        int status = connection.getResponseCode();
        if (status == 204) {
            return null;
        }
        if (status != 200) {
            String why = "HTTP " + status + sentence(connection);
            if (status >= 400 && status < 500 && status != 408 && status != 425 && status != 429) {
                throw new Refused(why);
            }
            throw new IOException(why);
        }
        return new BufferedReader(new InputStreamReader(connection.getInputStream(), StandardCharsets.UTF_8));
    }

    /** What the server says in an error answer. */
    private static String sentence(HttpURLConnection connection) {
        try (InputStream body = connection.getErrorStream()) {
            return body == null ? "" : ": " + new String(body.readNBytes(4096), StandardCharsets.UTF_8).trim();
        } catch (IOException e) { // it has been cut
            return "";
        }
    }

    private static String beginning(String line) {
        return line.substring(0, Math.min(80, line.length()));
    }

    /**
     * Reads a JSON object of strings and numbers, which is what the server sends. An
     * application that has a JSON library uses that instead.
     */
    static Map<String, String> parse(String json) throws IOException {
        try {
            Map<String, String> values = new HashMap<>();
            int[] at = {0};
            expect(json, at, '{');
            while (true) {
                String key = string(json, at);
                expect(json, at, ':');
                skipSpace(json, at);
                if (json.charAt(at[0]) == '"') {
                    values.put(key, string(json, at));
                } else {
                    int start = at[0];
                    while (",} \t".indexOf(json.charAt(at[0])) < 0) {
                        at[0]++;
                    }
                    values.put(key, json.substring(start, at[0]));
                }
                skipSpace(json, at);
                if (json.charAt(at[0]) == '}') {
                    return values;
                }
                expect(json, at, ',');
            }
        } catch (IndexOutOfBoundsException | NumberFormatException e) { // it has been cut
            throw new IOException("not a message: " + beginning(json));
        }
    }

    private static void skipSpace(String json, int[] at) {
        while (json.charAt(at[0]) == ' ' || json.charAt(at[0]) == '\t') {
            at[0]++;
        }
    }

    private static void expect(String json, int[] at, char c) throws IOException {
        skipSpace(json, at);
        if (json.charAt(at[0]++) != c) {
            throw new IOException("not a message: " + beginning(json));
        }
    }

    private static String string(String json, int[] at) throws IOException {
        expect(json, at, '"');
        StringBuilder b = new StringBuilder();
        for (char c = json.charAt(at[0]++); c != '"'; c = json.charAt(at[0]++)) {
            if (c != '\\') {
                b.append(c);
                continue;
            }
            c = json.charAt(at[0]++);
            switch (c) {
                case 'n':
                    b.append('\n');
                    break;
                case 'r':
                    b.append('\r');
                    break;
                case 't':
                    b.append('\t');
                    break;
                case 'b':
                    b.append('\b');
                    break;
                case 'f':
                    b.append('\f');
                    break;
                case 'u':
                    b.append((char) Integer.parseInt(json.substring(at[0], at[0] + 4), 16));
                    at[0] += 4;
                    break;
                default:
                    b.append(c);
            }
        }
        return b.toString();
    }

    /** Whether requests can be made to an address. */
    private static boolean isWeb(String address) {
        try {
            URI uri = URI.create(address);
            return ("http".equals(uri.getScheme()) || "https".equals(uri.getScheme())) && uri.getHost() != null;
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    private static void fail(int status, String text) {
        System.err.println(text);
        System.exit(status);
    }

    public static void main(String[] args) throws InterruptedException {
        String usage = "usage: java Subscribe.java CHANNEL [POSITION or SEQ] [URL]";
        if (args.length < 1 || args.length > 3) {
            fail(2, usage);
        }
        String epoch = "";
        long first = 0;
        try {
            if (args.length > 1 && args[1].matches("[0-9a-f]{8}-[0-9]+")) {
                epoch = args[1].substring(0, 8);
                first = Long.parseLong(args[1].substring(9)) + 1;
            } else if (args.length > 1) {
                first = Long.parseLong(args[1]);
            }
        } catch (NumberFormatException e) {
            fail(2, args[1] + ": want a position, EPOCH-SEQ, or a whole number\n" + usage);
        }
        String address = args.length > 2 ? args[2] : "http://127.0.0.1:8100";
        if (!isWeb(address)) {
            fail(2, address + ": want http://host:port");
        }
        AtomicReference<String> last = new AtomicReference<>("");
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            if (!last.get().isEmpty()) {
                System.err.println("to go on after the last message: " + last.get());
            }
        }));
        try {
            new Subscribe(address.replaceAll("/$", ""), args[0], epoch, first).run((position, content) -> {
                System.out.println(content);
                if (System.out.checkError()) {
                    System.exit(1); // the reader of the output has gone
                }
                last.set(position);
            });
            last.set(""); // there is nothing to go on with
        } catch (Refused e) {
            fail(1, e.getMessage());
        }
    }
}
