#include "broker/env/real/send_pace.h"

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

struct Pace : testing::Test {
  QuickClients everywhere;
  SendPace pace{everywhere};
  SendTurn turn{pace};
  Instant now{1h};

  // What a client that takes everything is sent before others have their turn, in writes of `size`.
  std::size_t sent_in_a_step(std::size_t size) {
    std::size_t sent = 0;
    for (turn.begin(now); !turn.is_over(); turn.begin(now)) {
      auto part = std::min(size, turn.left());
      turn.note_sent(part, part);
      turn.end(now);
      sent += part;
    }
    return sent;
  }
};

TEST_F(Pace, AloneOnesAreSentAllThatTheyTake) {
  EXPECT_EQ(sent_in_a_step(1 << 20), SendPace::kAlone.size);
  EXPECT_EQ(turn.step().pause, Duration::zero());
}

TEST_F(Pace, WhoAsksOftenAndIsAnsweredWithLittleSlowsTheOthers) {
  SendTurn tail(pace);
  tail.note_sent(1000, 1000);
  tail.note_read(now);
  EXPECT_EQ(sent_in_a_step(1 << 20), SendPace::kBesideQuick.size);
  EXPECT_EQ(turn.step().pause, SendPace::kBesideQuick.pause);
  turn.next(now += QuickClients::kRemembered - 1ns);
  EXPECT_EQ(turn.left(), SendPace::kBesideQuick.size);
  turn.next(now += 1ns);
  EXPECT_EQ(turn.left(), SendPace::kAlone.size) << "nobody has asked for a while";
  EXPECT_EQ(turn.step().pause, Duration::zero());
}

TEST_F(Pace, WhoIsSentMuchIsNotQuick) {
  SendTurn replay(pace);
  replay.note_sent(SendTurn::kLittle + 1, SendTurn::kLittle + 1);
  replay.note_read(now);
  EXPECT_EQ(sent_in_a_step(1 << 20), SendPace::kAlone.size);
  replay.note_sent(SendTurn::kLittle, SendTurn::kLittle);
  replay.note_read(now);
  EXPECT_EQ(sent_in_a_step(1 << 20), 0U) << "the step above is not over before a rest";
  EXPECT_EQ(pace.step(now).size, SendPace::kBesideQuick.size) << "since it asked last it got little";
}

TEST_F(Pace, ALongQuestionIsOne) {
  SendTurn replay(pace);
  for (int piece = 0; piece < 3; ++piece) replay.note_read(now);
  EXPECT_EQ(pace.step(now).size, SendPace::kAlone.size);
}

TEST_F(Pace, AStepMayLieInSeveralWrites) {
  EXPECT_EQ(sent_in_a_step(60 << 10), SendPace::kAlone.size);
  EXPECT_EQ(sent_in_a_step(60 << 10), 0U) << "the others have not had their turn";
  turn.next(now);
  EXPECT_EQ(sent_in_a_step(60 << 10), SendPace::kAlone.size);
}

TEST_F(Pace, AfterARoundTheStepIsANewOne) {
  turn.begin(now);
  turn.note_sent(100 << 10, 100 << 10);
  turn.end(now);
  EXPECT_FALSE(turn.wants_round());
  turn.begin(now);
  turn.note_sent(100 << 10, 100 << 10);
  turn.end(now);
  EXPECT_TRUE(turn.wants_round());
  turn.begin(now += 1h);
  EXPECT_EQ(turn.left(), SendPace::kAlone.size - (200 << 10)) << "others have had no turn, however long it was";
  turn.end(now);
  pace.come_round();
  turn.begin(now);
  EXPECT_EQ(turn.left(), SendPace::kAlone.size);
}

TEST_F(Pace, BesideOthersTheStepIsANewOneAfterARoundAndAPause) {
  pace.note_quick(now);
  turn.begin(now);
  turn.note_sent(60 << 10, 60 << 10);
  turn.end(now);
  pace.come_round();
  turn.begin(now += SendPace::kBesideQuick.pause - 1ns);
  EXPECT_EQ(turn.left(), 4 << 10);
  turn.end(now);
  pace.come_round();
  turn.begin(now += SendPace::kBesideQuick.pause);
  EXPECT_EQ(turn.left(), SendPace::kBesideQuick.size);
}

TEST_F(Pace, OneRoundAtATimeIsAskedFor) {
  EXPECT_TRUE(pace.ask_for_round());
  EXPECT_FALSE(pace.ask_for_round());
  pace.come_round();
  EXPECT_TRUE(pace.ask_for_round());
}

TEST_F(Pace, AStepThatWasBegunAloneEndsBesideOthers) {
  turn.begin(now);
  turn.note_sent(100 << 10, 100 << 10);
  turn.end(now);
  pace.note_quick(now);
  turn.begin(now);
  EXPECT_EQ(turn.left(), SendPace::kBesideQuick.size) << "156 KiB were left of it";
  turn.note_sent(1 << 20, 1 << 20);
  EXPECT_TRUE(turn.is_over()) << "more than was left is not owed";
}

TEST_F(Pace, BytesInFilesTakeLessOfAStep) {
  turn.begin(now);
  turn.note_sent(256 << 10, 128 << 10);
  EXPECT_EQ(turn.left(), SendPace::kAlone.size - (128 << 10));
}

}  // namespace
}  // namespace forelog::env
