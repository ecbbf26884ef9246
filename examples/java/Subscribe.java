import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.BiConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Follows a channel with the HttpClient of Java 11 or later.
 *
 *     java Subscribe.java CHANNEL [SEQ] [http://host:port of the front port]
 */
public class Subscribe {
    /**
     * The server always writes its messages in this form: compact, with the keys in this
     * order. An application that has a JSON library uses that instead.
     */
    private static final Pattern MESSAGE = Pattern.compile(
        "\\{\"type\":\"(\\w+)\",\"cname\":\"((?:[^\"\\\\]|\\\\.)*+)\",\"seq\":(-?\\d+),\"content\":\"((?:[^\"\\\\]|\\\\.)*+)\"\\}");

    private final HttpClient http = HttpClient.newHttpClient();
    private final String front;
    private final String channel;
    private long seq; // the next message wanted; 0: from now
    private int failures;

    Subscribe(String front, String channel, long seq) {
        this.front = front;
        this.channel = channel;
        this.seq = seq;
    }

    /** Calls onMessage for each message, until the channel is closed. */
    void run(BiConsumer<Long, String> onMessage) throws InterruptedException {
        while (true) {
            try {
                if (!connect(onMessage)) {
                    return;
                }
            } catch (IOException | RuntimeException e) {
                failures++;
                long bound = Math.min(30_000, 1000L << Math.min(failures - 1, 5));
                long wait = bound / 2 + ThreadLocalRandom.current().nextLong(bound / 2);
                System.err.println(e.getMessage() + "; again in " + wait + " ms");
                Thread.sleep(wait);
            }
        }
    }

    /** One connection. Returns false when the channel is closed. */
    private boolean connect(BiConsumer<Long, String> onMessage) throws IOException, InterruptedException {
        String query = "cname=" + URLEncoder.encode(channel, StandardCharsets.UTF_8) + "&seq=" + seq;
        HttpRequest request = HttpRequest.newBuilder(URI.create(front + "/stream?" + query)).build();
        HttpResponse<Stream<String>> response = http.send(request, HttpResponse.BodyHandlers.ofLines());
        try (Stream<String> lines = response.body()) {
            if (response.statusCode() != 200) {
                throw new IOException("HTTP " + response.statusCode());
            }
            for (String line : (Iterable<String>) lines::iterator) {
                Matcher m = MESSAGE.matcher(line);
                if (!m.matches()) {
                    throw new IOException("not a message: " + line);
                }
                failures = 0;
                long number = Long.parseLong(m.group(3));
                switch (m.group(1)) {
                    case "data", "broadcast" -> {
                        seq = number + 1;
                        onMessage.accept(number, unescape(m.group(4)));
                    }
                    case "next_seq" -> {
                        if (number < seq) { // the channel is a new one
                            seq = 1;
                            return true;
                        }
                        seq = number;
                    }
                    case "close" -> {
                        return false;
                    }
                    case "401", "429" -> throw new IOException(m.group(4));
                    default -> { } // a heartbeat
                }
            }
            throw new IOException("the server ended the response");
        }
    }

    /** Decodes the escapes of a JSON string. */
    private static String unescape(String s) {
        StringBuilder b = new StringBuilder(s.length());
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c != '\\') {
                b.append(c);
                continue;
            }
            c = s.charAt(++i);
            switch (c) {
                case 'n' -> b.append('\n');
                case 'r' -> b.append('\r');
                case 't' -> b.append('\t');
                case 'b' -> b.append('\b');
                case 'f' -> b.append('\f');
                case 'u' -> {
                    b.append((char) Integer.parseInt(s.substring(i + 1, i + 5), 16));
                    i += 4;
                }
                default -> b.append(c);
            }
        }
        return b.toString();
    }

    public static void main(String[] args) throws InterruptedException {
        long first = args.length > 1 ? Long.parseLong(args[1]) : 0;
        String address = args.length > 2 ? args[2] : "http://127.0.0.1:8100";
        new Subscribe(address, args[0], first).run((seq, content) -> System.out.println(content));
        System.exit(0); // HttpClient's threads would delay the exit
    }
}
