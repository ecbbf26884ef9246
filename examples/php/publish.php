<?php
// Publishes a text, without extensions.
//
//     php publish.php CHANNEL TEXT [http://host:port of the admin port]

/** Returns when the message is stored and queued to every subscriber. */
function icomet_publish(string $admin, string $channel, string $content, string $key = ''): void
{
    $headers = ['Content-Type: application/x-www-form-urlencoded'];
    if ($key !== '') {
        $headers[] = "Authorization: Bearer $key";
    }
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => $headers,
        'content' => http_build_query(['cname' => $channel, 'content' => $content]),
        'timeout' => 10, // seconds
        'ignore_errors' => true, // the answer says what is wrong
    ]]);
    $answer = @file_get_contents("$admin/push", false, $context);
    if ($answer === false) {
        throw new RuntimeException("$admin does not answer");
    }
    if (!str_contains($http_response_header[0], ' 200 ')) {
        throw new RuntimeException(trim($answer));
    }
}

try {
    icomet_publish($argv[3] ?? 'http://127.0.0.1:8000', $argv[1] ?? '', $argv[2] ?? '');
    echo "ok\n";
} catch (RuntimeException $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}
