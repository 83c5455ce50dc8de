import io.netty.channel.ChannelHandlerContext;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Security;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.fisco.bcos.sdk.BcosSDK;
import org.fisco.bcos.sdk.amop.Amop;
import org.fisco.bcos.sdk.amop.AmopCallback;
import org.fisco.bcos.sdk.amop.AmopMsgOut;
import org.fisco.bcos.sdk.amop.AmopResponse;
import org.fisco.bcos.sdk.amop.AmopResponseCallback;
import org.fisco.bcos.sdk.amop.topic.AmopMsgIn;
import org.fisco.bcos.sdk.amop.topic.TopicType;
import org.fisco.bcos.sdk.crypto.CryptoSuite;
import org.fisco.bcos.sdk.crypto.keypair.CryptoKeyPair;
import org.fisco.bcos.sdk.model.CryptoType;
import org.fisco.bcos.sdk.model.Message;
import org.fisco.bcos.sdk.network.MsgHandler;

/**
 * A client of the Java SDK of FISCO BCOS 2.x: commands on stdin, one a line, and one line of JSON on stdout
 * for whatever happens. It has no way of its own to the node: everything goes through the SDK.
 *
 * <pre>
 * AmopClient CERTIFICATES ADDRESS[,ADDRESS…] [COMMAND…]
 *   CERTIFICATES  a directory with ca.crt, sdk.crt and sdk.key
 *
 *   subscribe TOPIC [--echo]      answers are "echo:" and the message with --echo, else empty
 *   unsubscribe TOPIC
 *   publish TOPIC TEXT [--multicast] [--private] [--timeout MS] [--bytes SIZE] [--count NUMBER]
 *                                 --bytes: TEXT and then 'x' up to this size; --count: so many at once,
 *                                 "TEXT-0", "TEXT-1"…
 *   key                           a new key pair for private topics
 *   subscribe-private TOPIC PRIVATE_KEY [--echo]
 *   publish-private TOPIC PUBLIC_KEY…   who may have the private topic
 * </pre>
 *
 * <p>A command among the arguments is carried out first. The end of stdin ends the program.
 */
public final class AmopClient {
  private final BcosSDK sdk;
  private final Amop amop;

  private AmopClient(BcosSDK sdk) {
    this.sdk = sdk;
    this.amop = sdk.getAmop();
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments.length < 2) {
      System.err.println("usage: AmopClient CERTIFICATES ADDRESS[,ADDRESS...] [COMMAND...]");
      System.exit(2);
    }
    if (Boolean.getBoolean("bouncycastle")) {
      // Only so does JDK 17 know secp256k1, together with -Djdk.tls.namedGroups=secp256k1,secp256r1.
      Security.insertProviderAt(new BouncyCastleProvider(), 1);
    }
    BcosSDK sdk;
    try {
      sdk = BcosSDK.build(configuration(Path.of(arguments[0]), arguments[1].split(",")).toString());
    } catch (Exception error) {
      Events.event("failed", "error", String.valueOf(error.getMessage()));
      System.exit(1);
      return;
    }
    AmopClient client = new AmopClient(sdk);
    client.watch();
    Events.event("started", "peers", sdk.getChannel().getAvailablePeer());
    Command.performAll(Arrays.asList(arguments).subList(2, arguments.length), client::perform);
    sdk.stopAll();
    Events.event("ended");
    System.exit(0);
  }

  /** The file that the SDK is configured by, as its documentation has it. */
  private static Path configuration(Path certificates, String[] addresses) throws IOException {
    Path directory = Files.createTempDirectory("amop-client-");
    Path file = directory.resolve("config.toml");
    directory.toFile().deleteOnExit();
    file.toFile().deleteOnExit();
    String text =
        String.join(
            "\n",
            "[cryptoMaterial]",
            "certPath = " + Events.JSON.writeValueAsString(certificates.toString()),
            "[network]",
            "peers = " + Events.JSON.writeValueAsString(addresses),
            "[account]",
            "keyStoreDir = " + Events.JSON.writeValueAsString(directory.resolve("account").toString()),
            "[threadPool]",
            "maxBlockingQueueSize = \"102400\"",
            "");
    return Files.writeString(file, text);
  }

  /** Tells of connections that come and go. */
  private void watch() {
    MsgHandler handler =
        new MsgHandler() {
          @Override
          public void onConnect(ChannelHandlerContext context) {
            Events.event("connected", "peer", peer(context));
          }

          @Override
          public void onMessage(ChannelHandlerContext context, Message message) {}

          @Override
          public void onDisconnect(ChannelHandlerContext context) {
            Events.event("disconnected", "peer", peer(context));
          }
        };
    sdk.getChannel().addEstablishHandler(handler);
    sdk.getChannel().addDisconnectHandler(handler);
  }

  private static String peer(ChannelHandlerContext context) {
    return String.valueOf(context.channel().remoteAddress());
  }

  private void perform(Command command) {
    switch (command.name) {
      case "subscribe":
        amop.subscribeTopic(command.word(0), callback(command));
        Events.event("subscribed", "topic", command.word(0));
        break;
      case "unsubscribe":
        amop.unsubscribeTopic(command.word(0));
        Events.event("unsubscribed", "topic", command.word(0));
        break;
      case "publish":
        publish(command);
        break;
      case "key":
        CryptoKeyPair pair = new CryptoSuite(CryptoType.ECDSA_TYPE).createKeyPair();
        Events.event("key", "private", pair.getHexPrivateKey(), "public", pair.getHexPublicKey());
        break;
      case "subscribe-private":
        amop.subscribePrivateTopics(
            command.word(0), command.word(1), callback(command));
        Events.event("subscribed", "topic", command.word(0));
        break;
      case "publish-private":
        amop.publishPrivateTopicWithHexPublicKeyList(
            command.word(0), new ArrayList<>(command.words.subList(1, command.words.size())));
        Events.event("publishing", "topic", command.word(0));
        break;
      default:
        Events.event("unknown", "command", command.name);
    }
  }

  private static AmopCallback callback(Command command) {
    return new AmopCallback() {
      @Override
      public byte[] receiveAmopMsg(AmopMsgIn message) {
        byte[] content = message.getContent();
        Map<String, Object> fields = Events.content(content);
        fields.put("topic", message.getTopic());
        fields.put("type", message.getType());
        fields.put("seq", message.getMessageID());
        Events.event("message", fields);
        return command.reply(content);
      }
    };
  }

  private void publish(Command command) {
    int count = command.number("--count", 1);
    boolean multicast = command.has("--multicast");
    for (int i = 0; i < count; i++) {
      AmopMsgOut message = new AmopMsgOut();
      message.setTopic(command.word(0));
      message.setContent(command.content(i));
      message.setType(
          command.has("--private") ? TopicType.PRIVATE_TOPIC : TopicType.NORMAL_TOPIC);
      message.setTimeout(command.number("--timeout", 5000));
      if (multicast) {
        amop.broadcastAmopMsg(message);
        Events.event("sent", "text", command.text(i));
      } else {
        amop.sendAmopMsg(message, answer(command.text(i)));
      }
    }
  }

  private static AmopResponseCallback answer(String text) {
    return new AmopResponseCallback() {
      @Override
      public void onResponse(AmopResponse response) {
        AmopMsgIn in = response.getAmopMsgIn();
        Map<String, Object> fields = Events.content(in == null ? null : in.getContent());
        fields.put("of", text);
        fields.put("code", response.getErrorCode());
        fields.put("error", response.getErrorMessage());
        Events.event("response", fields);
      }
    };
  }
}
